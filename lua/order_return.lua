-- Take a confirmed order back: its stock goes on sale again, its money is owed to the buyer.
--
-- KEYS[1]  prefix of the occurrence
-- ARGV[1]  msgpack list of {order, reason}
-- Answers  {OK, order, now, wall}  refunded; look at payment.refund_state
--          INVALID, NOT_PUBLISHED, ORDER_UNKNOWN, {ORDER_STATE, order}
--          {DISPUTED, order}  the buyer's bank has taken the money back for now: it decides
-- Records  order.refund_due, or order.refunded when there is no money to give back
-- @include "batch"
-- @include "hold"
-- @include "order"
-- @include "money"

local function return_stock(request)
  local order_id, reason = request[1], request[2]
  if not (is_id(order_id) and is_text(reason, 64)) then return { INVALID } end
  local order = document(order_key(order_id))
  if not order then return { ORDER_UNKNOWN } end
  if order.state == 'refunded' then return answer(order) end
  if order.state ~= 'confirmed' then return { ORDER_STATE, cmsgpack.pack(order), now, wall } end
  local payment = order.payment
  if payment and payment.dispute == 'open' then return { DISPUTED, cmsgpack.pack(order), now, wall } end
  move_lines(order.lines, SOLD, FREE)
  forget_counts(order)
  local kind = 'order.refunded'
  if payment and (payment.captured or 0) > 0 then
    payment.refund, payment.refund_reason = payment.captured, reason
    judge(payment)
    if payment.refund_state ~= 'done' then kind = 'order.refund_due' end
    follow(order, true)
  end
  return step(order, 'refunded', kind)
end

return run(return_stock, prefetch_orders)
