-- Note the provider's payment intent of an order, once. It rides along in every later record.
--
-- KEYS[1]  prefix of the occurrence
-- ARGV[1]  msgpack list of {order, intent, secret}
--          secret: what the buyer's client pays with, or ''; kept while the order is pending, in no record
-- Answers  {OK, order, now, wall}, INVALID, NOT_PUBLISHED, ORDER_UNKNOWN
--          {ORDER_STATE, order}  it has another intent, or ended before it had one
-- Records  none
-- @include "batch"
-- @include "hold"
-- @include "order"

return run(function(request)
  local secret = request[3] or ''
  if not (is_id(request[1]) and is_text(request[2], 255) and #request[2] > 0 and is_text(secret, 255)) then
    return { INVALID }
  end
  local order = document(order_key(request[1]))
  if not order then return { ORDER_UNKNOWN } end
  local payment = order.payment
  local waits = order.state == 'pending' or order.state == 'cancelling'
  if not payment or (payment.intent == '' and not waits)
      or (payment.intent ~= '' and payment.intent ~= request[2]) then
    return { ORDER_STATE, cmsgpack.pack(order), now, wall }
  end
  if order.state ~= 'pending' then secret = '' end
  if payment.intent == '' or (secret ~= '' and payment.secret ~= secret) then
    payment.intent, payment.secret = request[2], secret ~= '' and secret or nil
    payment.description = nil -- it was kept for a repeated creation
    put_document(order_key(order.id), order)
  end
  return answer(order)
end, prefetch_orders)
