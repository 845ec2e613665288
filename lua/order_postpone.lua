-- An order that is due could not be closed: it is due again after a pause that grows with each attempt.
--
-- KEYS[1]  prefix of the occurrence
-- ARGV[1]  msgpack list of {order, again_ms, longest_ms}  again_ms: the first pause, doubled each time
-- Answers  {OK, order, now, wall}, INVALID, NOT_PUBLISHED, ORDER_UNKNOWN
-- Records  none
-- @include "batch"
-- @include "hold"
-- @include "order"
local DOUBLED_MAX = 20

return run(function(request)
  local order_id, again_ms, longest_ms = request[1], request[2], request[3]
  if not (is_id(order_id) and is_count(again_ms, 3600000) and is_count(longest_ms, 86400000)) then
    return { INVALID }
  end
  local order = document(order_key(order_id))
  if not order then return { ORDER_UNKNOWN } end
  local payment = order.payment
  if payment and (order.state == 'pending' or order.state == 'cancelling') then
    local attempts = payment.attempts or 0
    set_due('o' .. order_id, now + math.min(again_ms * 2 ^ math.min(attempts, DOUBLED_MAX), longest_ms))
    payment.attempts = attempts + 1
    put_document(order_key(order_id), order)
  end
  return answer(order)
end, prefetch_orders)
