-- @include "buyer"
-- @include "pass"
-- @include "unused"
-- @include "best_available"
-- Holds, a buyer's cart: the stock that they have, and their end.

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
    note_unused_hold(buyer, hold)
  end
  put_hold(buyer, '')
  buyer.ended = { hold.id, how, order or '' }
  put_document(buyer_key(hold.buyer), buyer)
  clear_due('h' .. hold.buyer)
  if how == 'ordered' then
    end_pass(hold.buyer, buyer, 'done')
  elseif buyer.pass and buyer.pass[2] <= now then
    end_pass(hold.buyer, buyer, 'expired') -- it was only kept for the hold
  end
end

-- Let go of holds and passes whose time is over, at most `most` of them. Returns the ids of orders
-- that are due. A pass that is out of time is kept while its buyer holds something.
-- An order is told once every `again_ms`: its seats are kept until the provider has cancelled.
local function sweep(most, again_ms)
  local orders, ended = {}, 0
  if paused then return orders, ended end
  local members = redis.call('ZRANGEBYSCORE', P .. ':due', '-inf', now, 'LIMIT', 0, most)
  for i = 1, #members do
    local member = members[i]
    local id = string.sub(member, 2)
    if string.sub(member, 1, 1) == 'h' then
      local hold = hold_of(buyer_of(id))
      if not hold then
        clear_due(member) -- ended in this very batch, or a leftover
      elseif hold.expires <= now then
        end_hold(hold, 'expired')
        ended = ended + 1
      end
    elseif string.sub(member, 1, 1) == 'p' then
      local buyer = buyer_of(id)
      local hold = hold_of(buyer)
      if not buyer.pass or buyer.pass[3] ~= '' then
        clear_due(member)
      elseif hold and hold.expires > now then
        set_due(member, hold.expires)
      else
        end_pass(id, buyer, 'expired')
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
  local buyer = buyer_of(buyer_id)
  local hold = hold_of(buyer)
  if hold and hold.id == hold_id then
    if hold.expires > now then return hold end
    end_hold(hold, 'expired')
  end
  if buyer.ended[1] == hold_id then return nil, { HOLD_ENDED, buyer.ended[2], buyer.ended[3] } end
  return nil, { HOLD_UNKNOWN }
end
