-- @include "queue"
-- How many joined lately of one name, a block of addresses (an 8-byte digest of it), and how many places
-- an account gave up (its 16-byte id): it has one at a time, so only that needs counting.
-- Fixed windows: a hash for each, name -> number, that is gone after the window that follows it.
local BUDGET_WINDOW_MS = 600000
local BUDGET_NAMES_MAX = 4
local GIVEN_UP_SOFT, GIVEN_UP_HARD = 2, 20 -- a slip or two are human, and nothing is gained by more

local spent = {}        -- name -> joins in this window
local spent_changed = false
local window_key = P .. ':joined:' .. math.floor(wall / BUDGET_WINDOW_MS)

local function are_budgets(budgets) -- {{name, soft, hard}, ...}
  if type(budgets) ~= 'table' or #budgets > BUDGET_NAMES_MAX then return false end
  for i = 1, #budgets do
    local budget = budgets[i]
    if type(budget) ~= 'table' or type(budget[1]) ~= 'string' or #budget[1] ~= 8
      or not is_count(budget[2], 1e9) or not is_count(budget[3], 1e9) then
      return false
    end
  end
  return true
end

local function spent_of(name)
  if not spent[name] then spent[name] = tonumber(redis.call('HGET', window_key, name) or 0) end
  return spent[name]
end

local function spend_one(name)
  spent[name] = spent_of(name) + 1
  spent_changed = true
end

-- One more join of all these names. Returns whether one of them is beyond its soft limit; nil when
-- one is beyond its hard limit: then nothing is counted.
local function spend(budgets, buyer_id)
  local slow = false
  for i = 1, #budgets do
    local n = spent_of(budgets[i][1])
    if n >= budgets[i][3] then return nil end
    slow = slow or n >= budgets[i][2]
  end
  if queue.gone > 0 then
    local n = spent_of(buyer_bytes(buyer_id))
    if n >= GIVEN_UP_HARD then return nil end
    slow = slow or n >= GIVEN_UP_SOFT
  end
  for i = 1, #budgets do spend_one(budgets[i][1]) end
  return slow
end

at_commit[#at_commit + 1] = function()
  if not spent_changed then return end
  local sets = {}
  for name, n in pairs(spent) do
    sets[#sets + 1] = name
    sets[#sets + 1] = n
  end
  for i = 1, #sets, 1000 do
    redis.call('HSET', window_key, unpack(sets, i, math.min(i + 999, #sets)))
  end
  redis.call('PEXPIRE', window_key, 2 * BUDGET_WINDOW_MS)
end
