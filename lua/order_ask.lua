-- Read a buyer's order, and take a turn to ask the provider about it, if one is left. However many
-- processes and requests there are, an order's provider is asked ASKS times at once and then once in
-- ASK_MS, a buyer's BUYER_ASKS times and then once in BUYER_ASK_MS (a leaky bucket, kept as the moment when
-- it is empty again).
--
-- KEYS[1]  prefix of the occurrence
-- ARGV[1]  msgpack list of {order, buyer}
-- Answers  {OK, order, now, wall, wait_ms}  wait_ms: 0, ask now; else no turn before that
--          INVALID, NOT_PUBLISHED, ORDER_UNKNOWN
-- Records  none
-- @include "batch"
-- @include "buyer"
-- @include "order"
local ASK_MS, ASKS = 1000, 3
local BUYER_ASK_MS, BUYER_ASKS = 1000, 20

-- How long until there is a turn: 0, now.
local function wait_of(empty_at, interval, most)
  return math.max((empty_at or 0) - wall - (most - 1) * interval, 0)
end

local function ask(request)
  local order_id, buyer_id = request[1], request[2]
  if not (is_id(order_id) and is_id(buyer_id)) then return { INVALID } end
  local order = document(order_key(order_id))
  if not order or order.buyer ~= buyer_id then return { ORDER_UNKNOWN } end
  local payment, wait = order.payment, 0
  if payment then
    local buyer = buyer_of(buyer_id)
    wait = math.max(wait_of(payment.asked, ASK_MS, ASKS), wait_of(buyer.asked, BUYER_ASK_MS, BUYER_ASKS))
    if wait == 0 then
      payment.asked = math.max(payment.asked or 0, wall) + ASK_MS
      buyer.asked = math.max(buyer.asked or 0, wall) + BUYER_ASK_MS
      put_document(order_key(order_id), order)
      put_document(buyer_key(buyer_id), buyer)
    end
  end
  return { OK, cmsgpack.pack(order), now, wall, wait }
end

return run(ask, function(request, keys)
  prefetch_orders(request, keys)
  if is_id(request[2]) then keys[#keys + 1] = buyer_key(request[2]) end
end)
