-- What the provider says now of the money of an intent becomes the order's state: captured less what
-- went back is what counts, so a record of the past is never asked.
--
-- The order's own intent:
--   * waiting (pending, cancelling) and all of the total is there: confirmed
--   * waiting, and another amount was captured, or some went back already: this money buys nothing. The
--     order is cancelled, its stock is free, and what is left is owed back
--   * cancelled before the money came: honoured when all of its stock is still free, else owed back
--   * confirmed, and nothing of its money will stay (refunded at the provider, a dispute lost): refunded,
--     its stock is free. While some of it stays it keeps its tickets
-- Any other intent's money (also the own one's in another currency) is owed back whatever the state; a
-- waiting order ends with it.
--
-- KEYS[1]  prefix of the occurrence
-- ARGV[1]  msgpack list of {order, intent, captured, said or nil, version or nil}
--          captured: minor units; said: {currency, refunded, refunding (on its way), withdrawn (by a
--          dispute), dispute, failed (refunds that came to nothing), failure, refund_id}, each may lack;
--          version: the order's, as it was before the provider was asked
-- Answers  {OK, order, now, wall}  look at its state, and at payment.refund_state
--          INVALID, NOT_PUBLISHED, ORDER_UNKNOWN
--          {ORDER_CHANGED, order}  it has another version: ask the provider again
--          {ORDER_STATE, order}  it has the money of too many intents
-- Records  order.confirmed, order.cancelling, order.refund_due, order.refunded, or order.money
-- @include "batch"
-- @include "hold"
-- @include "order"
-- @include "money"
local COUNT_MAX = 1000000

local function read_said(captured, given_said)
  local said = given_said or {}
  if type(said) ~= 'table' then return nil end
  said.captured = captured
  for _, name in ipairs({ 'refunded', 'refunding', 'withdrawn' }) do
    said[name] = said[name] or 0
    if not is_index(said[name], AMOUNT_MAX) then return nil end
  end
  said.failed = said.failed or 0
  for _, name in ipairs({ 'currency', 'dispute', 'failure', 'refund_id' }) do
    said[name] = said[name] or ''
    if not is_text(said[name], 255) then return nil end
  end
  if not (is_index(said.failed, COUNT_MAX) and DISPUTES[said.dispute]) then return nil end
  return said
end

-- The order waits no longer, and has nothing.
local function end_waiting(order, reason)
  if order.state == 'pending' or order.state == 'cancelling' then
    move_lines(order.lines, HELD, FREE)
    forget_counts(order)
    clear_due('o' .. order.id)
    order.cancelled_at, order.cancel_reason = wall, reason
  end
end

-- Decide with the money of the order's own intent, all of which nobody has said to give back yet.
-- Returns the new state, and why the money is to go back, or nil.
local function decide(order, money)
  local buyer = buyer_of(order.buyer)
  local whole = money.captured == order.total and given(money) + (money.withdrawn or 0) == 0
  if order.state == 'confirmed' then
    local lost = money.dispute == 'lost' and money.withdrawn or 0
    if given(money) + lost < money.captured then return 'confirmed' end
    move_lines(order.lines, SOLD, FREE)
    forget_counts(order)
    return 'refunded', lost > 0 and 'dispute_lost' or 'provider'
  elseif not whole then
    local reason = money.captured ~= order.total and 'wrong_amount' or 'taken_back'
    end_waiting(order, reason)
    return 'cancelled', reason
  elseif order.state == 'cancelled' then
    if not all_free(order.lines) then return 'cancelled', 'late_capture' end
    move_lines(order.lines, FREE, SOLD)
    for i = 1, #order.lines do count(buyer, order.lines[i].type, order.lines[i].quantity) end
  else
    move_lines(order.lines, HELD, SOLD)
    clear_due('o' .. order.id)
  end
  note_purchase(buyer)
  put_document(buyer_key(order.buyer), buyer)
  order.cancelled_at, order.cancel_reason = 0, ''
  order.confirmed_at = wall
  return 'confirmed'
end

local function own_money(order, intent, said)
  local money, before = order.payment, order.state
  local changed, back, withdrawn = note(money, said)
  local state, reason = before, nil
  money.intent = intent
  if (money.refund or 0) == 0 and before ~= 'refunded' then
    state, reason = decide(order, money)
    if reason then money.refund, money.refund_reason = money.captured, reason end
  end
  changed = judge(money) or changed or state ~= before or reason ~= nil
  if state == 'cancelled' and money.refund_state == 'done' then state = 'refunded' end
  local fresh = changed and money.refund_state == 'owed'
  if not changed then return nil, nil, nil, fresh end
  local kind = 'order.money'
  if state == 'confirmed' and before ~= 'confirmed' then
    kind = 'order.confirmed'
  elseif money.refund_state == 'done' and (money.refund or 0) > 0 then
    kind = 'order.refunded'
  elseif fresh or reason then
    kind = 'order.refund_due'
  end
  return state, kind, { 0, back, withdrawn }, fresh
end

local function other_money(order, intent, said)
  local payment, state = order.payment, order.state
  local others = payment.others or {}
  local money
  for i = 1, #others do
    if others[i].intent == intent then money = others[i] end
  end
  if not money then
    if #others >= OTHERS_MAX then return 'too many' end
    money = { intent = intent, currency = said.currency ~= '' and said.currency or order.currency }
    others[#others + 1] = money
    payment.others = others
  end
  local captured = said.captured - (money.captured or 0)
  local changed, back, withdrawn = note(money, said)
  money.refund = money.captured
  changed = judge(money) or changed
  if not changed then return nil, nil, nil, false end
  local kind = 'order.money'
  if money.refund_state == 'owed' then kind = 'order.refund_due' end
  if payment.intent == intent then
    -- its own, in another currency: it cannot be paid any more
    if state == 'pending' or state == 'cancelling' then
      end_waiting(order, 'wrong_currency')
      state = 'cancelled'
    end
  elseif state == 'pending' then
    -- its own intent can still be paid, and must be cancelled at the provider first
    order.cancel_reason = 'wrong_payment'
    set_due('o' .. order.id, now)
    state = 'cancelling'
  end
  return state, kind, { captured, back, withdrawn }, money.refund_state == 'owed'
end

local function confirm(request)
  local order_id, intent, captured, version = request[1], request[2], request[3], request[5]
  if not (is_id(order_id) and is_text(intent, 255) and #intent > 0 and is_count(captured, AMOUNT_MAX)
      and (version == nil or is_count(version, 1e9))) then
    return { INVALID }
  end
  local said = read_said(captured, request[4])
  if not said then return { INVALID } end
  local order = document(order_key(order_id))
  if not order then return { ORDER_UNKNOWN } end
  if version and order.version ~= version then
    return { ORDER_CHANGED, cmsgpack.pack(order), now, wall }
  end
  local free = order.total == 0
  if not order.payment then order.payment = { provider = '', intent = '' } end
  local payment = order.payment
  local own = not free and (payment.intent == '' or payment.intent == intent)
  local state, kind, moved, fresh
  if own and (said.currency == '' or string.upper(said.currency) == string.upper(order.currency)) then
    state, kind, moved, fresh = own_money(order, intent, said)
  else
    if own then payment.intent = intent end
    state, kind, moved, fresh = other_money(order, intent, said)
    if state == 'too many' then return { ORDER_STATE, cmsgpack.pack(order), now, wall } end
  end
  follow(order, fresh)
  if not kind then return answer(order) end
  return step(order, state, kind, moved)
end

return run(confirm, prefetch_orders)
