-- @include "gate"
-- @include "rules"
-- Take stock for the lines of a hold: all of them, or none with every failing line named.

-- The tiers that n tickets are had at. One tier for all of them, the first open one that has so many: its
-- index from 0. Where none has, the open ones in their order, each as far as it goes: {index, how many, ...}.
-- Or nil and how many they have together (nil: no tier's window is open).
-- engine/sale/inventory/stock.py prices() says the same; a test compares the two.
local function tiers_for(kind, n)
  local open, left
  for i = 1, #kind.tiers do
    local tier = kind.tiers[i]
    if (not tier.from or wall >= tier.from) and (not tier['until'] or wall < tier['until']) then
      local free = tier.counter and free_of(tier.counter)
      if not free or free >= n then return i - 1 end
      left = (left or 0) + free
      if free > 0 then
        open = open or {}
        open[#open + 1], open[#open + 2] = i - 1, free
      end
    end
  end
  if not left or left < n then return nil, left end
  local parts = {}
  for i = 1, #open, 2 do
    local some = math.min(open[i + 1], n)
    if some > 0 then parts[#parts + 1], parts[#parts + 2] = open[i], some end
    n = n - some
  end
  return parts
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

-- Lines of several types of one category whose seats the buyer leaves to us (adults and children) are one
-- party, whatever their tickets are called; nil for a line alone. By category: {type, wanted = tickets of all lines,
-- mixed: whether they are of several types, section, position: of the next seat of the block that was
-- taken for all of them; position false: there is none}.
local function parties_of(wanted)
  if #wanted == 1 then return nil end
  local parties = {}
  for i = 1, #wanted do
    local index, kind = wanted[i][1], type_of(wanted[i][1])
    if kind and kind.category and not wanted[i][3] then
      local party = parties[kind.category]
      if party then
        party.wanted, party.mixed = party.wanted + wanted[i][2], party.mixed or party.type ~= index
      else
        parties[kind.category] = { type = index, wanted = wanted[i][2], mixed = false }
      end
    end
  end
  return parties
end

-- The next n seats of the block that was taken for a whole party; nil: no such block is free.
local function seats_of_party(party, category, n)
  if party.position == nil then
    party.section, party.position = take_together(category, party.wanted)
    if not party.section then party.position = false end
  end
  if not party.position then return nil end
  local first = party.position
  party.position = first + n
  return party.section, first
end

-- Take the best seats for n of the type. Returns {section, position, ...}, or nil and the reason.
local function take_best(kind, n, split, party)
  local section, position
  if party and party.mixed then section, position = seats_of_party(party, kind.category, n) end
  if not section then section, position = take_together(kind.category, n) end
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

-- The lines of a hold for n tickets of a type: one for each tier that they are had at. The first seats
-- are at the first tier. The tiers' stock is taken.
local function lines_of(kind, index, n, parts, seats)
  if type(parts) == 'number' then
    local tier = kind.tiers[parts + 1]
    if tier.counter then move(tier.counter, FREE, HELD, n) end
    return { { type = index, tier = parts, price = tier.price, quantity = n, seats = seats } }
  end
  local lines, at = {}, 0
  for i = 1, #parts, 2 do
    local tier, some, own = kind.tiers[parts[i] + 1], parts[i + 1], {}
    if tier.counter then move(tier.counter, FREE, HELD, some) end
    for j = at * 2 + 1, math.min((at + some) * 2, #seats) do own[#own + 1] = seats[j] end
    at = at + some
    lines[#lines + 1] = { type = index, tier = parts[i], price = tier.price, quantity = some, seats = own }
  end
  return lines
end

-- Take one line {type, quantity, seats, split}. `mine` and `all`: tickets of the type and of all
-- types that the hold has so far; `alone`: nothing else is asked for; `parties`: of parties_of().
-- Returns the new lines of the hold, one a tier, or nil and the reason.
local function take_line(line, buyer, mine, all, alone, parties)
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
  local parts, left = tiers_for(kind, n)
  if not parts and not left then return nil, { LINE_NOT_ON_SALE } end
  for i = 1, #kind.counters do
    local free = free_of(kind.counters[i])
    if not left or free < left then left = free end
  end
  if not parts or left < n then return nil, { LINE_SOLD_OUT, left } end
  if seats then
    put_line_seats(kind.category, seats, HELD)
  elseif kind.category then
    local reason
    seats, reason = take_best(kind, n, line[4], parties and parties[kind.category])
    if not seats then return nil, reason end
  end
  for i = 1, #kind.counters do move(kind.counters[i], FREE, HELD, n) end
  count(buyer, index, n)
  return lines_of(kind, index, n, parts, seats or {})
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
  local parties = parties_of(wanted)
  for i = 1, #wanted do
    local index, n = wanted[i][1], wanted[i][2]
    local taken, reason = take_line(wanted[i], buyer, mine[index] or 0, all, alone, parties)
    if taken then
      mine[index], all = (mine[index] or 0) + n, all + n
      for j = 1, #taken do merge(lines, taken[j]) end
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
