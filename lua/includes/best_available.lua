-- Best available seats: n together in one row, front and centre first, and no single seat
-- left stranded where that can be avoided.
--
-- A segment is a piece of a row whose seats are of one category and lie side by side. The
-- segments of a category are ranked at publication, best first:
--   P:rank:<category>     8 bytes a segment: section, start, length, focus (big-endian, 16 bits);
--                         focus: the seat of the segment that is nearest to the middle, from 0
--   P:segments:<section>  2 bytes a position: the rank of the seat's segment, 65535: none
--   P:room:<category>     a byte a segment: at most so many are free together, '@' none, 'A' one ...
--                         'Z' 26 or more, or not known
-- The room is never too small, so a segment with less than n is passed over unread: without it every
-- call would look at all full rows again. It may be too large, as seats chosen on the map do not lower
-- it: a search does, when it finds less.
local ROOM_NONE, ROOM_MAX = 64, 26 -- '@'; up to 'Z'
local LOOK_AHEAD = 32              -- segments to look at for a place that strands nobody
local RANKS_READ = 32              -- segments whose ranks are read at a time
local NO_SEGMENT = 65535

local rank_pages, stored_rooms, rooms, segments, searches = {}, {}, {}, {}, {} -- by category
local segments_in = {}              -- the same segments by section
local seen_puts, seen_undone = 0, 0 -- puts and undone requests that segments and searches know of

local function by_category(all, category)
  local mine = all[category]
  if not mine then
    mine = {}
    all[category] = mine
  end
  return mine
end

-- The rooms of a category as a string, at least as large as they are after what was done so far (larger,
-- where that was undone).
local function rooms_of(category)
  local found = rooms[category]
  if not found then
    found = redis.call('GET', P .. ':room:' .. category)
    stored_rooms[category] = found
    for at, char in pairs(rooms_now[category] or {}) do
      found = string.sub(found, 1, at) .. char .. string.sub(found, at + 2)
    end
    rooms[category] = found
  end
  return found
end

local function set_room(category, at, room)
  local byte = ROOM_NONE + math.min(room, ROOM_MAX) -- compared as bytes: strings would go by the locale
  local char = string.char(byte)
  local known, changes = rooms[category], by_category(rooms_now, category)
  if known then
    local before = changes[at] and string.byte(changes[at]) or string.byte(stored_rooms[category], at + 1)
    if byte == before then return end
    if byte > before then searches[category] = nil end
    if byte > string.byte(known, at + 1) then
      rooms[category] = string.sub(known, 1, at) .. char .. string.sub(known, at + 2)
    end
  end
  set(changes, at, char)
end

-- n seats side by side are free again: their segments may have room for any number.
local function seats_came_back(category, section, position, n)
  if not category then return end
  local ranks = redis.call('GETRANGE', P .. ':segments:' .. section, position * 2, (position + n) * 2 - 1)
  local before = NO_SEGMENT
  for i = 1, n do
    local at = struct.unpack('>H', ranks, i * 2 - 1)
    if at ~= NO_SEGMENT and at ~= before then set_room(category, at, ROOM_MAX) end
    before = at
  end
end

-- A segment as it is now: {category, at: its rank, section, start, length, middle: the position to be
-- near to, runs = {first, last, ... position of each run of free seats; first > last: none}}
local function segment(category, at)
  local mine = by_category(segments, category)
  local found = mine[at]
  if not found then
    local pages = by_category(rank_pages, category)
    local page = math.floor(at / RANKS_READ)
    local ranks = pages[page]
    if not ranks then
      local bytes = RANKS_READ * 8
      ranks = redis.call('GETRANGE', P .. ':rank:' .. category, page * bytes, (page + 1) * bytes - 1)
      pages[page] = ranks
    end
    local section, start, length, focus = struct.unpack('>HHHH', ranks, at % RANKS_READ * 8 + 1)
    found = { category = category, at = at, section = section, start = start, length = length, middle = start + focus }
    mine[at] = found
    local beside = segments_in[section]
    if beside then beside[#beside + 1] = found else segments_in[section] = { found } end
  end
  if not found.runs then
    local states, runs = seat_states(found.section, found.start, found.length), {}
    local first, last = string.find(states, '%.+')
    while first do
      runs[#runs + 1], runs[#runs + 2] = found.start + first - 1, found.start + last - 1
      first, last = string.find(states, '%.+', last + 1)
    end
    found.runs = runs
  end
  return found
end

local function longest_run(runs)
  local longest = 0
  for i = 1, #runs, 2 do
    local length = runs[i + 1] - runs[i] + 1
    if length > longest then longest = length end
  end
  return longest
end

-- Where n go best in the free seats from first to last, which are n at least: the position that strands
-- no single seat, if there is one, and is nearest to the middle; and whether it strands nobody.
local function place_in_run(first, last, n, middle)
  local most = last - n + 1
  local at = math.max(first, math.min(most, math.ceil(middle - 0.5)))
  if at - first ~= 1 and most - at ~= 1 then return at, true end
  local best
  for other = math.max(first, at - 2), math.min(most, at + 2) do -- only these two strand: none is farther off
    if other - first ~= 1 and most - other ~= 1
        and (not best or math.abs(other - middle) < math.abs(best - middle)) then
      best = other
    end
  end
  return best or at, best ~= nil
end

-- The best place for n in a segment: its position, whether it strands nobody, and the run; or nil.
local function place_in(found, n)
  local best, best_clean, best_distance, best_run
  local runs, middle = found.runs, found.middle - (n - 1) / 2
  for i = 1, #runs, 2 do
    local first, last = runs[i], runs[i + 1]
    if last - first + 1 >= n then
      local at, clean = place_in_run(first, last, n, middle)
      local distance = math.abs(at - middle)
      if not best or (clean and not best_clean) or (clean == best_clean
          and (distance < best_distance or (distance == best_distance and at < best))) then
        best, best_clean, best_distance, best_run = at, clean, distance, i
      end
    end
  end
  return best, best_clean, best_run
end

-- What searches for n found out in this batch: no segment before `from` has room for n, none before
-- `clean` has a place that strands nobody.
local function search_of(category, n)
  local mine = by_category(searches, category)
  local search = mine[n]
  if not search then
    search = { from = 0, clean = 0 }
    mine[n] = search
  end
  return search
end

-- Seats of a segment were taken: a run that is shorter now may be just right, but not for the search
-- that took them: where it strands somebody, every run that is long enough has one seat too many.
local function shortened(category, at, search)
  for _, other in pairs(by_category(searches, category)) do
    if other ~= search and other.clean > at then other.clean = at end
  end
end

-- Take note of what happened to seats since the last search.
local function catch_up()
  if seen_undone ~= undone then
    segments, segments_in, searches = {}, {}, {}
    seen_undone, seen_puts = undone, puts_count
  end
  for i = seen_puts + 1, puts_count, 3 do
    local first, n, beside = puts[i + 1], #puts[i + 2], segments_in[puts[i]] or {}
    for j = 1, #beside do
      local one = beside[j]
      if first < one.start + one.length and one.start < first + n then
        one.runs = nil
        shortened(one.category, one.at)
      end
    end
  end
  seen_puts = puts_count
end

local classes = {} -- room -> pattern of the rooms that are no smaller

-- The next segment from `at` on that may have room for n, before `stop`; or nil.
local function next_with_room(category, n, at, stop)
  local known, changes = rooms_of(category), rooms_now[category]
  local least = ROOM_NONE + math.min(n, ROOM_MAX)
  local class = classes[least]
  if not class then
    class = '[' .. string.char(least) .. '-Z]'
    classes[least] = class
  end
  while at < stop do
    local found = string.find(known, class, at + 1)
    if not found or found > stop then return nil end
    local char = changes and changes[found - 1]
    if not char or string.byte(char) >= least then return found - 1 end
    at = found
  end
end

-- Take n together. Returns the section and position of the first seat, and its segment's rank; or nil.
local function take_together(category, n)
  catch_up()
  local search = search_of(category, n)
  local stop = #rooms_of(category)
  local chosen, chosen_at, position, run
  local at = next_with_room(category, n, search.from, stop)
  while at do
    local found = segment(category, at)
    local place, clean, place_run = place_in(found, n)
    if not place then
      set_room(category, at, longest_run(found.runs))
    elseif not chosen or clean then
      if not chosen then
        search.from, stop = at, math.min(stop, at + LOOK_AHEAD)
      end
      chosen, chosen_at, position, run = found, at, place, place_run
      if clean then
        search.clean = at
        break
      end
    end
    at = next_with_room(category, n, chosen and math.max(at + 1, search.clean) or at + 1, stop)
  end
  if not chosen then
    search.from = stop
    return nil
  end
  if not at then search.clean = math.max(search.clean, stop) end
  put_seats(chosen.section, position, n, 'h')
  seen_puts = puts_count
  local runs = chosen.runs
  local last = runs[run + 1]
  if runs[run] == position then
    runs[run] = position + n
  else
    runs[run + 1] = position - 1
    if position + n <= last then runs[#runs + 1], runs[#runs + 2] = position + n, last end
  end
  shortened(category, chosen_at, search)
  set_room(category, chosen_at, longest_run(runs))
  return chosen.section, position, chosen_at
end

-- Take n seats when no row has room for all: the largest group that sits together, then the
-- nearest free seats around it: same section first, then by rank. Returns {section, position, ...}, or
-- nil: then the caller undoes what was taken.
local function take_split(category, n)
  local seats, base, base_section, base_start
  for size = n - 1, 1, -1 do
    local section, position, at = take_together(category, size)
    if section then
      seats, base, base_section, base_start = {}, at, section, position
      for i = 0, size - 1 do seats[#seats + 1], seats[#seats + 2] = section, position + i end
      break
    end
  end
  if not seats then return nil end
  local near, stop = {}, #rooms_of(category)
  local at = next_with_room(category, 1, 0, stop)
  while at do
    local found = segment(category, at)
    if longest_run(found.runs) > 0 then
      local far = found.section == base_section and math.abs(found.start - base_start)
        or 65536 + math.abs(at - base)
      near[#near + 1] = { far, found, at }
    end
    at = next_with_room(category, 1, at + 1, stop)
  end
  table.sort(near, function(a, b) return a[1] < b[1] or (a[1] == b[1] and a[3] < b[3]) end)
  for i = 1, #near do
    local found = near[i][2]
    for j = 1, #found.runs, 2 do
      for position = found.runs[j], found.runs[j + 1] do
        if #seats == n * 2 then return seats end
        seats[#seats + 1], seats[#seats + 2] = found.section, position
        put_seats(found.section, position, 1, 'h')
      end
    end
  end
  return #seats == n * 2 and seats or nil
end
