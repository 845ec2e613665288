-- The money of an order: what an intent captured, what of it is to go back, and how far that is.
-- An order has its own intent's money in `payment`, and in `payment.others` that of intents which it
-- did not wait for. Members that are 0 or '' are left out (engine/sale/documents.py Money).
--
-- refund_state  none: nothing is to go back;  owed: it is to be asked for;  pending: it is on its way;
--               done: it is back;  failed: REFUND_TRIES refunds came to nothing, and a person must look
local REFUND_TRIES = 5
local REFUND_AGAIN_MS = 30000            -- after the first refund that came to nothing; then 4 times as long
local PENDING_AGAIN_MS = 600000          -- a refund on its way
local DISPUTE_AGAIN_MS = 21600000        -- a dispute that is open
local OTHERS_MAX = 16
local AMOUNT_MAX = 1e12
local DISPUTES = { [''] = true, inquiry = true, open = true, won = true, lost = true }

local function tries_until(money)
  local most = money.tries_until or 0
  return most > 0 and most or REFUND_TRIES
end

local function put(money, name, value)
  local before = money[name]
  if before == 0 or before == '' then before = nil end
  if value == 0 or value == '' then value = nil end
  money[name] = value
  return before ~= value
end

-- What went back by way of the provider, arrived or not.
local function given(money)
  return (money.refunded or 0) + (money.refunding or 0)
end

local function owed(money)
  return math.max(0, (money.refund or 0) - given(money) - (money.elsewhere or 0) - (money.withdrawn or 0))
end

-- Set how far the refund is. Returns whether that changed.
local function judge(money)
  local state = ''
  if owed(money) > 0 then
    state = (money.tries or 0) >= tries_until(money) and 'failed' or 'owed'
  elseif (money.refunding or 0) > 0 or ((money.refund or 0) > 0 and money.dispute == 'open') then
    state = 'pending'
  elseif (money.refund or 0) > 0 or (money.refunded or 0) > 0 then
    state = 'done'
  end
  return put(money, 'refund_state', state)
end

-- Note what the provider says now. Returns whether anything changed, and by how much more was given
-- back and withdrawn.
local function note(money, said)
  local before, withdrawn = given(money), money.withdrawn or 0
  local changed = false
  if said.failed > (money.failed or 0) then
    money.tries = (money.tries or 0) + said.failed - (money.failed or 0)
    changed = true
  end
  for _, name in ipairs({ 'captured', 'refunded', 'refunding', 'withdrawn', 'dispute', 'failed' }) do
    if put(money, name, said[name]) then changed = true end
  end
  for _, name in ipairs({ 'failure', 'refund_id' }) do
    if said[name] ~= '' and put(money, name, said[name]) then changed = true end
  end
  return changed, given(money) - before, (money.withdrawn or 0) - withdrawn
end

local follow_at = {} -- order -> wall-clock ms, or false

-- When the money is looked at next, or nil. fresh: something of it has just changed, or a person asks.
-- Second answer: it is to be asked for and is due already, so its time is left as it is.
local function next_look(money, fresh)
  local at
  if money.refund_state == 'owed' then
    local tries = (money.tries or 0) + REFUND_TRIES - tries_until(money)
    if tries <= 0 and not fresh then return nil, true end
    at = tries > 0 and wall + REFUND_AGAIN_MS * 4 ^ (tries - 1) or wall
  elseif money.refund_state == 'pending' then
    at = wall + PENDING_AGAIN_MS
  elseif money.refund_state == 'failed' then
    at = math.huge
  end
  if money.dispute == 'open' or money.dispute == 'inquiry' then
    at = math.min(at or math.huge, wall + DISPUTE_AGAIN_MS)
  end
  return at
end

-- Follow the order's money while there is anything to follow.
local function follow(order, fresh)
  local at, keep = next_look(order.payment, fresh)
  local others = order.payment.others or {}
  for i = 1, #others do
    local other, kept = next_look(others[i], fresh)
    if other then at = math.min(at or math.huge, other) end
    keep = keep or kept
  end
  if not keep then follow_at[order.id] = at or false end
end

at_commit[#at_commit + 1] = function()
  for id, at in pairs(follow_at) do
    if at then
      redis.call('ZADD', P .. ':money', at == math.huge and '+inf' or at, id)
    else
      redis.call('ZREM', P .. ':money', id)
    end
  end
end

-- The money of an intent, or nil.
local function money_of(order, intent)
  local payment = order.payment
  if not payment then return nil end
  for _, other in ipairs(payment.others or {}) do
    if other.intent == intent then return other end
  end
  if payment.intent == intent then return payment end
end
