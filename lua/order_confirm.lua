-- The money is here: what was held is sold. For an order that was cancelled before the money
-- came: honoured when all of its stock is still free, else the money is owed back.
--
-- KEYS[1]  prefix of the occurrence
-- ARGV[1]  msgpack list of {order, intent, captured}  captured: minor units
-- Answers  {OK, order, now, wall}  look at its state: confirmed, or cancelled with payment.refund to give back
--          INVALID, NOT_PUBLISHED, ORDER_UNKNOWN
--          {ORDER_STATE, order}  another intent, or another amount than the order's total
-- Records  order.confirmed, or order.refund_due
-- @include "batch"
-- @include "hold"
-- @include "order"

local function confirm(request)
  local order_id, intent, captured = request[1], request[2], request[3]
  if not (is_id(order_id) and is_text(intent, 255) and #intent > 0 and is_count(captured, 1e12)) then
    return { INVALID }
  end
  local order = document(order_key(order_id))
  if not order then return { ORDER_UNKNOWN } end
  local payment = order.payment
  if not payment or captured ~= order.total or (payment.intent ~= '' and payment.intent ~= intent) then
    return { ORDER_STATE, cmsgpack.pack(order), now, wall }
  end
  if order.state == 'confirmed' or order.state == 'refunded' or payment.refund > 0 then
    return answer(order) -- told before
  end
  payment.intent, payment.captured = intent, captured
  local buyer = buyer_of(order.buyer)
  if order.state == 'cancelled' then
    if not all_free(order.lines) then
      payment.refund, payment.refund_reason = captured, 'late_capture'
      set_due('o' .. order_id, now)
      return step(order, 'cancelled', 'order.refund_due')
    end
    move_lines(order.lines, FREE, SOLD)
    for i = 1, #order.lines do count(buyer, order.lines[i].type, order.lines[i].quantity) end
  else
    move_lines(order.lines, HELD, SOLD)
  end
  note_purchase(buyer)
  put_document(buyer_key(order.buyer), buyer)
  order.confirmed_at, order.cancelled_at, order.cancel_reason = wall, 0, ''
  clear_due('o' .. order_id)
  return step(order, 'confirmed', 'order.confirmed')
end

return run(confirm, prefetch_orders)
