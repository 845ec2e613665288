-- @include "gate"
-- @include "rules"
-- Take stock for the lines of a hold: all of them, or none with every failing line named.

-- The open tier with room for n: its index from 0; or nil and how many the best of them has left
-- (nil: no tier's window is open).
local function tier_for(kind, n)
  local left
  for i = 1, #kind.tiers do
    local tier = kind.tiers[i]
    if (not tier.from or wall >= tier.from) and (not tier['until'] or wall < tier['until']) then
      if not tier.counter then return i - 1 end
      local free = free_of(tier.counter)
      if free >= n then return i - 1 end
      if not left or free > left then left = free end
    end
  end
  return nil, left
end

-- Seats that were asked for by name: are they of the category, named once, and free?
local function check_seats(kind, seats)
  local wrong, taken
  local seen = #seats > 2 and {}
  local own = string.byte(kind.category_char)
  local i, last = 1, #seats
  while i < last do
    local section, position, n = seats[i], seats[i + 1], neighbours(seats, i)
    local categories = redis.call('GETRANGE', P .. ':categories:' .. section, position, position + n - 1)
    local states = seat_states(section, position, n)
    for j = 1, n do
      local name = section * 65536 + position
      if string.byte(categories, j) ~= own or (seen and seen[name]) then
        wrong = wrong or {}
        wrong[#wrong + 1], wrong[#wrong + 2] = section, position
      elseif string.byte(states, j) ~= 46 then
        taken = taken or {}
        taken[#taken + 1], taken[#taken + 2] = section, position
      end
      if seen then seen[name] = true end
      position = position + 1
    end
    i = i + n * 2
  end
  if wrong then return { LINE_WRONG_SEATS, wrong } end
  if taken then return { LINE_SEATS_TAKEN, taken } end
end

-- Take the best seats for n of the type. Returns {section, position, ...}, or nil and the reason.
local function take_best(kind, n, split)
  local section, position = take_together(kind.category, n)
  if section then
    local seats = {}
    for i = 0, n - 1 do seats[#seats + 1], seats[#seats + 2] = section, position + i end
    return seats
  end
  if split and n > 1 then
    local seats = take_split(kind.category, n)
    if seats then return seats end
  end
  -- what is left may be for choosing on the map only (wheelchair places)
  return nil, { LINE_NOT_TOGETHER }
end

-- Take one line {type, quantity, seats, split}. `mine` and `all`: tickets of the type and of all
-- types that the hold has so far; `alone`: nothing else is asked for. Returns the new line of the hold, or nil and the reason.
local function take_line(line, buyer, mine, all, alone)
  local index, n = line[1], line[2]
  local kind = type_of(index)
  if not kind then return nil, { LINE_UNKNOWN_TYPE } end
  if (kind.from and wall < kind.from) or (kind['until'] and wall >= kind['until']) then
    return nil, { LINE_NOT_ON_SALE }
  end
  if mine + n < kind.min and alone then return nil, { LINE_MIN, kind.min } end
  if mine + n > kind.max then return nil, { LINE_MAX, kind.max } end
  if all + n > conf.order_max then return nil, { LINE_ORDER_MAX, conf.order_max } end
  if kind.buyer_max and (buyer.counts[index + 1] or 0) + n > kind.buyer_max then
    return nil, { LINE_BUYER_MAX, kind.buyer_max }
  end
  if conf.buyer_max then
    local has = 0
    for i = 1, #buyer.counts do has = has + buyer.counts[i] end
    if has + n > conf.buyer_max then return nil, { LINE_BUYER_MAX, conf.buyer_max } end
  end
  local seats = line[3] or nil
  if seats then
    if not kind.category then return nil, { LINE_WRONG_SEATS, seats } end
    local reason = check_seats(kind, seats)
    if reason then return nil, reason end
  end
  local left
  for i = 1, #kind.counters do
    local free = free_of(kind.counters[i])
    if not left or free < left then left = free end
  end
  if left < n then return nil, { LINE_SOLD_OUT, left } end
  local tier, tier_left = tier_for(kind, n)
  if not tier then
    if tier_left then return nil, { LINE_SOLD_OUT, math.min(tier_left, left) } end
    return nil, { LINE_NOT_ON_SALE }
  end
  if seats then
    put_line_seats(kind.category, seats, HELD)
  elseif kind.category then
    local reason
    seats, reason = take_best(kind, n, line[4])
    if not seats then return nil, reason end
  end
  for i = 1, #kind.counters do move(kind.counters[i], FREE, HELD, n) end
  local chosen = kind.tiers[tier + 1]
  if chosen.counter then move(chosen.counter, FREE, HELD, n) end
  count(buyer, index, n)
  return { type = index, tier = tier, price = chosen.price, quantity = n, seats = seats or {} }
end

-- Put a line into a list of lines: with its like, if there is one.
local function merge(lines, line)
  for i = 1, #lines do
    local other = lines[i]
    if other.type == line.type and other.tier == line.tier and other.price == line.price then
      local seats = {}
      for j = 1, #other.seats do seats[j] = other.seats[j] end
      for j = 1, #line.seats do seats[#seats + 1] = line.seats[j] end
      lines[i] = { type = line.type, tier = line.tier, price = line.price,
        quantity = other.quantity + line.quantity, seats = seats }
      return
    end
  end
  lines[#lines + 1] = line
end

-- Take all of `wanted` on top of `lines` (a list that may be changed). Returns the failures:
-- {index from 0, code, ...} each, or nil: all is taken. The caller undoes what failed.
-- The buyer's counts are raised as lines are taken; the caller restores them when it undoes.
local function take(wanted, lines, buyer, alone)
  local failures
  local mine, all = {}, 0
  for i = 1, #lines do
    mine[lines[i].type] = (mine[lines[i].type] or 0) + lines[i].quantity
    all = all + lines[i].quantity
  end
  for i = 1, #wanted do
    local index = wanted[i][1]
    local line, reason = take_line(wanted[i], buyer, mine[index] or 0, all, alone)
    if line then
      mine[index], all = (mine[index] or 0) + line.quantity, all + line.quantity
      merge(lines, line)
    else
      failures = failures or {}
      table.insert(reason, 1, i - 1)
      failures[#failures + 1] = reason
    end
  end
  return failures
end

local function copy(list)
  local all = {}
  for i = 1, #list do all[i] = list[i] end
  return all
end

-- May the failures be for want of stock that expired holds still keep?
local function wants_stock(failures)
  for i = 1, #failures do
    local code = failures[i][2]
    if code == LINE_SOLD_OUT or code == LINE_SEATS_TAKEN or code == LINE_NOT_TOGETHER then return true end
  end
  return false
end

local SWEEP_WHEN_SHORT = 20 -- expired holds to let go of when stock is short
local swept = false

-- The one way from free to held: take `wanted` for the buyer on top of `lines`, or change nothing. Tried once
-- more after expired holds were let go of. Returns the lines, or nil and the answer that refuses.
-- `budget` (may be nil): see gate.lua. `removed` (may be nil): what goes back first, by make_room(lines):
-- it returns the lines that are left, and what fails.
local function take_or_undo(wanted, lines, buyer, budget, removed, make_room)
  local refused = #wanted > 0 and refusal(buyer, wanted, budget)
  if refused then return nil, refused end
  -- a single line is taken whole or not at all: there is nothing to undo
  local undoable = removed or #wanted > 1 or wanted[1][4]
  local counts = undoable and copy(buyer.counts)
  local failures
  for _ = 1, 2 do
    if undoable then savepoint() end
    local taken = copy(lines)
    failures = nil
    if removed then taken, failures = make_room(taken) end
    if not failures then failures = take(wanted, taken, buyer, not undoable) end
    if not failures and undoable then failures = below_minimum(taken, wanted, removed) end
    if not failures and #taken > 0 then
      keep()
      return taken
    end
    if undoable then
      undo()
      buyer.counts = copy(counts)
    end
    if not failures then return nil, { HOLD_EMPTY } end
    if swept or not wants_stock(failures) then break end
    swept = true
    local _, ended = sweep(SWEEP_WHEN_SHORT)
    if ended == 0 then break end
  end
  return nil, { LINES, failures }
end
