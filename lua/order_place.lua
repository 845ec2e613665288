-- Make an order of a hold. The order keeps the hold's stock; a free order is confirmed at once.
-- The same hold gives the same order, however often it is asked for. Prices are those of the hold; the
-- minima and maxima are those that are in force.
--
-- KEYS[1]  prefix of the occurrence
-- ARGV[1]  msgpack list of {buyer, hold, version, order, key, body, details}
--          version: the hold's, as the total was reckoned from it
--          details: {currency, subtotal, discount, platform_fee, payment_fee, tax, total, email,
--                    name, attendees, provider, description}
--          description: what the provider is told it is for, kept until the payment is made; may be missing
-- Answers  {OK, order, now, wall}, INVALID, NOT_PUBLISHED, KEY_REUSED, HOLD_UNKNOWN, HOLD_CHANGED,
--          {HOLD_ENDED, how, ''}  {LINES, {{line of the hold, code, limit}, ...}}
-- Records  order.placed, or order.confirmed for a free order
-- @include "batch"
-- @include "hold"
-- @include "order"
-- @include "rules"
local AMOUNT_MAX = 1e12

local function are_details(details)
  if type(details) ~= 'table' then return false end
  for _, part in ipairs({ 'subtotal', 'discount', 'platform_fee', 'payment_fee', 'tax', 'total' }) do
    if not is_index(details[part], AMOUNT_MAX) then return false end
  end
  return details.total == details.subtotal - details.discount + details.platform_fee
      + details.payment_fee + details.tax
    and is_text(details.currency, 3) and is_text(details.email, 254) and is_text(details.name, 800)
    and is_text(details.provider, 32) and is_text(details.description or '', 800) and type(details.attendees) == 'table'
    and #details.attendees <= QUANTITY_MAX
end

local function place(request)
  local buyer_id, hold_id, version, order_id, key, body, details =
    request[1], request[2], request[3], request[4], request[5], request[6], request[7]
  if not (is_id(buyer_id) and is_id(hold_id) and is_id(order_id) and is_count(version, 1e9)
      and is_digest(key) and is_digest(body) and are_details(details)) then
    return { INVALID }
  end
  local buyer = buyer_of(buyer_id)
  local before = answered(buyer, key)
  if before then
    if before[2] ~= body then return { KEY_REUSED } end
    local order = document(order_key(before[3]))
    if not order then return { KEY_REUSED } end -- it was used for something else
    return answer(order)
  end
  local hold, why = active_hold(buyer_id, hold_id)
  if not hold then
    if why[2] == 'ordered' then return answer(document(order_key(why[3]))) end
    return why
  end
  if hold.version ~= version then return { HOLD_CHANGED } end
  local failures = broken_rules(hold.lines, buyer)
  if failures then return { LINES, failures } end
  local subtotal, tickets = 0, 0
  for i = 1, #hold.lines do
    subtotal = subtotal + hold.lines[i].price * hold.lines[i].quantity
    tickets = tickets + hold.lines[i].quantity
  end
  if subtotal ~= details.subtotal or #details.attendees > tickets then return { INVALID } end
  local free = details.total == 0
  local order = {
    id = order_id, occurrence = string.match(P, ':(.*)$'), shard = tonumber(string.sub(SHARD, 3, 4)),
    -- the one write before commit(): a number that is skipped does no harm
    sequence = redis.call('INCR', SHARD .. ':sequence'),
    buyer = buyer_id, hold = hold_id, version = 0, lines = hold.lines,
    currency = details.currency, subtotal = details.subtotal, discount = details.discount,
    platform_fee = details.platform_fee, payment_fee = details.payment_fee, tax = details.tax,
    total = details.total, email = details.email, name = details.name, attendees = details.attendees,
    placed_at = wall, pay_by = now + conf.pay_ms, confirmed_at = 0, cancelled_at = 0, cancel_reason = '',
  }
  end_hold(hold, 'ordered', order_id)
  buyer = buyer_of(buyer_id)
  remember(buyer, key, body, order_id)
  if free then
    note_purchase(buyer)
    order.confirmed_at = wall
    move_lines(order.lines, HELD, SOLD)
    return step(order, 'confirmed', 'order.confirmed')
  end
  note_unpaid_order(buyer, hold)
  order.payment = { provider = details.provider, intent = '', description = details.description }
  set_due('o' .. order_id, order.pay_by)
  return step(order, 'pending', 'order.placed')
end

return run(place, prefetch_buyer)
