-- Take one from the budget of each of some names, or of none of them. A name's window begins with
-- the first that is taken of it.
--
-- KEYS[1]  prefix of the shard's budgets, e.g. {s07}:budget
-- ARGV[1]  msgpack list of {window_ms, name, limit, name, limit, ...}
--          window_ms: at most a day; name: 16 hex digits; limit: at least 1; at most 8 names
-- Answers  {OK}, {BUDGET, in how many ms there is a new one of each that is used up}, INVALID
-- Records  none: it says nothing about the sale
-- @include "codes"
-- @include "validate"
local P = KEYS[1]
local BATCH_MAX = 1000
local NAMES_MAX = 8
local NAME_LENGTH = 16
local WINDOW_MS_MAX = 86400000

local requests = cmsgpack.unpack(ARGV[1])
if #requests > BATCH_MAX then return redis.error_reply('TOOLARGE at most ' .. BATCH_MAX .. ' requests a call') end

local function is_request(request)
  if not is_count(request[1], WINDOW_MS_MAX) then return false end
  if #request < 3 or #request % 2 == 0 or #request > 1 + 2 * NAMES_MAX then return false end
  for i = 2, #request, 2 do
    local name = request[i]
    if type(name) ~= 'string' or #name ~= NAME_LENGTH or not string.find(name, '^[0-9a-f]+$')
      or not is_count(request[i + 1], 1e9) then
      return false
    end
  end
  return true
end

local function take(request)
  local taken, wait_ms = {}, 0
  for i = 2, #request, 2 do
    local key = P .. ':' .. request[i]
    taken[key] = tonumber(redis.call('GET', key) or 0)
    if taken[key] >= request[i + 1] then wait_ms = math.max(wait_ms, redis.call('PTTL', key), 1) end
  end
  if wait_ms > 0 then return { BUDGET, wait_ms } end
  for key, count in pairs(taken) do
    if count == 0 then
      redis.call('SET', key, 1, 'PX', request[1])
    else
      redis.call('INCR', key)
    end
  end
  return { OK }
end

local answers = {}
for i = 1, #requests do
  answers[i] = is_request(requests[i]) and take(requests[i]) or { INVALID }
end
return cmsgpack.pack(answers)
