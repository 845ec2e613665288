-- The provider has cancelled: the order's stock goes back on sale.
--
-- KEYS[1]  prefix of the occurrence
-- ARGV[1]  msgpack list of {order, intent}
-- Answers  {OK, order, now, wall}  cancelled
--          INVALID, NOT_PUBLISHED, ORDER_UNKNOWN, {ORDER_STATE, order}
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
  if order.state ~= 'cancelling' then return { ORDER_STATE, cmsgpack.pack(order), now, wall } end
  if order.payment.intent == '' then order.payment.intent = intent end
  order.cancelled_at = wall
  move_lines(order.lines, HELD, FREE)
  forget_counts(order)
  note_unused_order(buyer_of(order.buyer))
  clear_due('o' .. order_id)
  return step(order, 'cancelled', 'order.cancelled')
end

return run(release, prefetch_orders)
