-- The money that was owed has been given back.
--
-- KEYS[1]  prefix of the occurrence
-- ARGV[1]  msgpack list of {order, refund}  refund: the provider's id
-- Answers  {OK, order, now, wall}  refunded
--          INVALID, NOT_PUBLISHED, ORDER_UNKNOWN, {ORDER_STATE, order}  nothing is owed
-- Records  order.refunded
-- @include "batch"
-- @include "hold"
-- @include "order"

local function refunded(request)
  local order_id, refund = request[1], request[2]
  if not (is_id(order_id) and is_text(refund, 255) and #refund > 0) then return { INVALID } end
  local order = document(order_key(order_id))
  if not order then return { ORDER_UNKNOWN } end
  local payment = order.payment
  if not payment or payment.refund == 0 then return { ORDER_STATE, cmsgpack.pack(order), now, wall } end
  if payment.refund_id ~= '' then return answer(order) end
  payment.refund_id = refund
  clear_due('o' .. order_id)
  return step(order, 'refunded', 'order.refunded')
end

return run(refunded, prefetch_orders)
