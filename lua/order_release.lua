-- The provider has cancelled, or has refused to make a payment: the order's stock goes back on sale.
--
-- KEYS[1]  prefix of the occurrence
-- ARGV[1]  msgpack list of {order, intent}  intent: the one that was cancelled; '' when none was ever made
-- Answers  {OK, order, now, wall}  cancelled
--          INVALID, NOT_PUBLISHED, ORDER_UNKNOWN, {ORDER_STATE, order}  it has another intent, too
-- Records  order.cancelled
-- @include "batch"
-- @include "hold"
-- @include "order"

local function release(request)
  local order_id, intent = request[1], request[2]
  if not (is_id(order_id) and is_text(intent, 255)) then return { INVALID } end
  local order = document(order_key(order_id))
  if not order then return { ORDER_UNKNOWN } end
  if order.state == 'cancelled' then return answer(order) end
  local noted = order.payment and order.payment.intent or ''
  if order.state ~= 'cancelling' or (noted ~= '' and noted ~= intent) then
    return { ORDER_STATE, cmsgpack.pack(order), now, wall } -- money may come by the intent that is noted
  end
  if noted == '' then order.payment.intent = intent end
  order.cancelled_at = wall
  move_lines(order.lines, HELD, FREE)
  forget_counts(order)
  note_unused_order(buyer_of(order.buyer))
  clear_due('o' .. order_id)
  return step(order, 'cancelled', 'order.cancelled')
end

return run(release, prefetch_orders)
