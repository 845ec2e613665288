-- A step of giving the money of an intent back that the provider does not tell of by itself.
--
-- KEYS[1]  prefix of the occurrence
-- ARGV[1]  msgpack list of {order, intent, step, text}
--          step: "refused": the provider refused the refund, text says why; after REFUND_TRIES of them a
--          person must look.  "again": try it again.  "elsewhere": it went back another way, text names it.
-- Answers  {OK, order, now, wall}
--          INVALID, NOT_PUBLISHED, ORDER_UNKNOWN, {ORDER_STATE, order}  nothing is owed of this intent
-- Records  order.money, or order.refunded for "elsewhere"
-- @include "batch"
-- @include "hold"
-- @include "order"
-- @include "money"
local STEPS = { refused = true, again = true, elsewhere = true }

local function refund(request)
  local order_id, intent, what, text = request[1], request[2], request[3], request[4]
  if not (is_id(order_id) and is_text(intent, 255) and is_text(what, 16) and STEPS[what]
      and is_text(text, 255) and (what == 'again' or #text > 0)) then
    return { INVALID }
  end
  local order = document(order_key(order_id))
  if not order then return { ORDER_UNKNOWN } end
  local money = money_of(order, intent)
  if not money or owed(money) == 0 then return { ORDER_STATE, cmsgpack.pack(order), now, wall } end
  local state, kind, elsewhere = order.state, 'order.money', 0
  if what == 'refused' then
    money.tries, money.failure = (money.tries or 0) + 1, text
  elseif what == 'again' then
    money.tries_until = (money.tries or 0) + REFUND_TRIES
  else
    elsewhere = owed(money)
    money.elsewhere, money.elsewhere_note = (money.elsewhere or 0) + elsewhere, text
  end
  judge(money)
  if money.refund_state == 'done' then
    kind = 'order.refunded'
    if money == order.payment and state == 'cancelled' then state = 'refunded' end
  end
  follow(order, what == 'again')
  return step(order, state, kind, { 0, 0, 0, elsewhere })
end

return run(refund, prefetch_orders)
