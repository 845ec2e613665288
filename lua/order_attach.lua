-- Note the provider's payment intent of an order, once. It rides along in every later record.
--
-- KEYS[1]  prefix of the occurrence
-- ARGV[1]  msgpack list of {order, intent}
-- Answers  {OK, order, now, wall}, INVALID, NOT_PUBLISHED, ORDER_UNKNOWN
--          {ORDER_STATE, order}  it has another intent
-- Records  none
-- @include "batch"
-- @include "hold"
-- @include "order"

return run(function(request)
  if not (is_id(request[1]) and is_text(request[2], 255) and #request[2] > 0) then return { INVALID } end
  local order = document(order_key(request[1]))
  if not order then return { ORDER_UNKNOWN } end
  if not order.payment then return { ORDER_STATE, cmsgpack.pack(order), now, wall } end
  if order.payment.intent == '' then
    order.payment.intent = request[2]
    put_document(order_key(order.id), order)
  elseif order.payment.intent ~= request[2] then
    return { ORDER_STATE, cmsgpack.pack(order), now, wall }
  end
  return answer(order)
end, prefetch_orders)
