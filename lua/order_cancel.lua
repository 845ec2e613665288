-- Begin to cancel a pending order. Its stock is kept: the provider must cancel first, then order_release.
--
-- KEYS[1]  prefix of the occurrence
-- ARGV[1]  msgpack list of {order, reason, again_ms, refusal}
--          again_ms: when the worker looks at it again, should the caller die before it is released
--          refusal: the provider's code when it refused the payment, else ''
-- Answers  {OK, order, now, wall}  cancelling, or cancelled already
--          INVALID, NOT_PUBLISHED, ORDER_UNKNOWN, {ORDER_STATE, order}
-- Records  order.cancelling
-- @include "batch"
-- @include "hold"
-- @include "order"

local function cancel(request)
  local order_id, reason, again_ms, refusal = request[1], request[2], request[3], request[4] or ''
  if not (is_id(order_id) and is_text(reason, 64) and is_count(again_ms, 3600000) and is_text(refusal, 64)) then
    return { INVALID }
  end
  local order = document(order_key(order_id))
  if not order then return { ORDER_UNKNOWN } end
  if order.state == 'cancelling' or order.state == 'cancelled' then return answer(order) end
  if order.state ~= 'pending' then return { ORDER_STATE, cmsgpack.pack(order), now, wall } end
  order.cancel_reason = reason
  order.payment.refusal = refusal ~= '' and refusal or nil
  set_due('o' .. order_id, now + again_ms)
  return step(order, 'cancelling', 'order.cancelling')
end

return run(cancel, prefetch_orders)
