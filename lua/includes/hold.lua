-- @include "best_available"
-- Holds: a buyer's cart.
--
-- hold   {id, buyer, version, created, expires, lines = {line, ...}}  (sale-clock ms)
-- line   {type, tier, price, quantity, seats = {section, position, ...}}
-- buyer  {hold = id or '', ended = {id, how, order} of the last one,
--         counts = {tickets held or ordered of each type}, keys = {answered idempotency keys}}
-- In requests and stored documents types, tiers, sections and counters count from 0.
local KEYS_REMEMBERED = 32

local function hold_key(id) return P .. ':h:' .. id end
local function buyer_key(id) return P .. ':b:' .. id end

local function buyer_of(id)
  return document(buyer_key(id)) or { hold = '', ended = {}, counts = {}, keys = {} }
end

-- The stored answer to an idempotency key: {key, body, answer}, or nil.
local function answered(buyer, key)
  local keys = buyer.keys
  for i = #keys, 1, -1 do
    if keys[i][1] == key then return keys[i] end
  end
end

local function remember(buyer, key, body, answer)
  local keys = buyer.keys
  if #keys >= KEYS_REMEMBERED then table.remove(keys, 1) end
  keys[#keys + 1] = { key, body, answer }
end

local function count(buyer, type_index, n)
  local counts = buyer.counts
  for i = #counts + 1, type_index + 1 do counts[i] = 0 end -- no gaps: it is stored as an array
  counts[type_index + 1] = counts[type_index + 1] + n
end

local CHARS = { [FREE] = '.', [HELD] = 'h', [SOLD] = 's' }

-- How many of the seats {section, position, ...} from index i on follow each other in a section.
local function neighbours(seats, i)
  local section, position, n = seats[i], seats[i + 1], 1
  while seats[i + n * 2] == section and seats[i + n * 2 + 1] == position + n do n = n + 1 end
  return n
end

-- Set the bytes of seats of a category, neighbours together.
local function put_line_seats(category, seats, to)
  local i, last = 1, #seats
  while i < last do
    local n = neighbours(seats, i)
    put_seats(seats[i], seats[i + 1], n, CHARS[to])
    if to == FREE then seats_came_back(category, seats[i], seats[i + 1], n) end
    i = i + n * 2
  end
end

-- Move the stock of lines; from and to are FREE, HELD or SOLD. The bytes of their seats follow.
local function move_lines(lines, from, to)
  for i = 1, #lines do
    local line = lines[i]
    local kind = type_of(line.type)
    local n = line.quantity
    for j = 1, #kind.counters do move(kind.counters[j], from, to, n) end
    local tier = kind.tiers[line.tier + 1].counter
    if tier then move(tier, from, to, n) end
    put_line_seats(kind.category, line.seats, to)
  end
end

-- End a hold: its stock goes back (unless an order takes it over), the buyer's record says how it ended.
local function end_hold(hold, how, order)
  if how ~= 'ordered' then move_lines(hold.lines, HELD, FREE) end
  local buyer = buyer_of(hold.buyer)
  if how ~= 'ordered' then
    for i = 1, #hold.lines do count(buyer, hold.lines[i].type, -hold.lines[i].quantity) end
  end
  if buyer.hold == hold.id then buyer.hold = '' end
  buyer.ended = { hold.id, how, order or '' }
  put_document(buyer_key(hold.buyer), buyer)
  remove_document(hold_key(hold.id))
  clear_due('h' .. hold.id)
end

-- Let go of holds whose time is over, at most `most` of them. Returns the ids of orders that are due.
-- An order is told once every `again_ms`: its seats are kept until the provider has cancelled.
local function sweep(most, again_ms)
  local orders, ended = {}, 0
  if paused then return orders, ended end
  local members = redis.call('ZRANGEBYSCORE', P .. ':due', '-inf', now, 'LIMIT', 0, most)
  for i = 1, #members do
    local member = members[i]
    local id = string.sub(member, 2)
    if string.sub(member, 1, 1) == 'h' then
      local hold = document(hold_key(id))
      if not hold then
        clear_due(member) -- ended in this very batch, or a leftover
      elseif hold.expires <= now then
        end_hold(hold, 'expired')
        ended = ended + 1
      end
    elseif again_ms then
      orders[#orders + 1] = id
      set_due(member, now + again_ms)
    end
  end
  return orders, ended
end

-- The active hold of the buyer, or nil and why not.
local function active_hold(buyer_id, hold_id)
  local hold = document(hold_key(hold_id))
  if hold and hold.buyer == buyer_id then
    if hold.expires > now then return hold end
    end_hold(hold, 'expired')
  end
  local buyer = buyer_of(buyer_id)
  if buyer.ended[1] == hold_id then return nil, { HOLD_ENDED, buyer.ended[2], buyer.ended[3] } end
  return nil, { HOLD_UNKNOWN }
end
