-- Best available seats: n together in one row, front and centre first, and no single seat
-- left stranded where that can be avoided.
--
-- A segment is a piece of a row whose seats are of one category and lie side by side. The
-- segments of a category are ranked at publication, best first:
--   P:rank:<category>   8 bytes a segment: section, start, length, focus (big-endian, 16 bits);
--                       focus: the seat of the segment that is nearest to the middle, from 0
--   P:segments:<section>  2 bytes a position: the rank of the seat's segment, 65535: none
--   P:marks             {for each category {for n = 1..10: no segment before this rank has n free}}
-- The marks are low-water marks: without them every call would look at all full rows again.
local TOGETHER_MAX = 10     -- marks are kept up to this n; more together begin at the last
local LOOK_AHEAD = 32       -- segments to look at for a place that strands nobody
local NO_SEGMENT = 65535

local ranks, segment_maps = {}, {}
local marks

local function rank_of(category)
  local rank = ranks[category]
  if not rank then
    rank = redis.call('GET', P .. ':rank:' .. category)
    ranks[category] = rank
  end
  return rank
end

local function marks_of(category)
  if not marks then marks = document(P .. ':marks') end
  return marks[category + 1]
end

local function set_mark(category, n, at)
  local mine = marks_of(category)
  if mine[n] ~= at then
    if journal then journal[#journal + 1] = { mine, n, mine[n] } end
    mine[n] = at
    put_document(P .. ':marks', marks)
  end
end

-- A seat is free again: lower the marks that its run of free seats can serve.
local function seat_came_back(category, section, position)
  if not category then return end
  local map = segment_maps[section]
  if not map then
    map = redis.call('GET', P .. ':segments:' .. section)
    segment_maps[section] = map
  end
  local at = struct.unpack('>H', map, position * 2 + 1)
  if at == NO_SEGMENT then return end
  local _, start, length = struct.unpack('>HHH', rank_of(category), at * 8 + 1)
  local s = section_string(section)
  local first, last = position, position
  while first > start and string.byte(s, first) == 46 do first = first - 1 end
  while last < start + length - 1 and string.byte(s, last + 2) == 46 do last = last + 1 end
  local mine = marks_of(category)
  for n = 1, math.min(last - first + 1, TOGETHER_MAX) do
    if mine[n] > at then set_mark(category, n, at) end
  end
end

-- The best place for n in a segment: its position and how many singles it strands, or nil.
local function place_in(s, start, length, focus, n)
  local stop = start + length -- positions start .. stop - 1
  local pattern = string.rep('.', n)
  local from = string.find(s, pattern, start + 1, true)
  if not from or from + n - 1 > stop then return nil end
  local best, best_strands, best_distance
  local middle = start + focus - (n - 1) / 2
  local position = from - 1
  while position < stop do
    if string.byte(s, position + 1) == 46 then
      local last = position
      while last + 1 < stop and string.byte(s, last + 2) == 46 do last = last + 1 end
      for at = position, last - n + 1 do
        local left, right = at - position, last - (at + n - 1)
        local strands = (left == 1 and 1 or 0) + (right == 1 and 1 or 0)
        local distance = math.abs(at - middle)
        if not best or strands < best_strands or (strands == best_strands and distance < best_distance) then
          best, best_strands, best_distance = at, strands, distance
        end
      end
      position = last + 2
    else
      position = position + 1
    end
  end
  return best, best_strands
end

-- n together: section and position of the first seat, and its segment's rank; or nil.
local function best_together(category, n)
  local rank = rank_of(category)
  local segments = #rank / 8
  local mark = math.min(n, TOGETHER_MAX)
  local at = marks_of(category)[mark]
  local found, found_position, found_strands, found_rank
  local stop = segments
  while at < stop do
    local section, start, length, focus = struct.unpack('>HHHH', rank, at * 8 + 1)
    if length >= n then
      local position, strands = place_in(section_string(section), start, length, focus, n)
      if position then
        if not found then
          if n <= TOGETHER_MAX then set_mark(category, mark, at) end
          stop = math.min(segments, at + LOOK_AHEAD)
        end
        if not found or strands < found_strands then
          found, found_position, found_strands, found_rank = section, position, strands, at
        end
        if found_strands == 0 then break end
      end
    end
    at = at + 1
  end
  if not found and n <= TOGETHER_MAX then set_mark(category, mark, segments) end
  return found, found_position, found_rank
end

-- n seats when no row has room for all: the largest group that sits together, then the
-- nearest free seats around it: same section first, then by rank. Returns {section, position, ...}.
local function best_split(category, n)
  local rank = rank_of(category)
  local segments = #rank / 8
  local seats, base, base_section, base_start
  for size = n - 1, 1, -1 do
    local section, position, at = best_together(category, size)
    if section then
      seats, base, base_section, base_start = {}, at, section, position
      for i = 0, size - 1 do
        seats[#seats + 1], seats[#seats + 2] = section, position + i
        put_seats(section, position + i, 1, 'h') -- so that they are not found again; the caller undoes it
      end
      break
    end
  end
  if not seats then return nil end
  local near = {}
  for at = marks_of(category)[1], segments - 1 do
    local section, start, length = struct.unpack('>HHH', rank, at * 8 + 1)
    local free = string.find(section_string(section), '.', start + 1, true)
    if free and free <= start + length then
      local far = section == base_section and math.abs(start - base_start)
        or 65536 + math.abs(at - base)
      near[#near + 1] = { far, section, start, length }
    end
  end
  table.sort(near, function(a, b) return a[1] < b[1] end)
  for i = 1, #near do
    local section, start, length = near[i][2], near[i][3], near[i][4]
    local s = section_string(section)
    for position = start, start + length - 1 do
      if #seats == n * 2 then return seats end
      if string.byte(s, position + 1) == 46 then
        seats[#seats + 1], seats[#seats + 2] = section, position
      end
    end
  end
  return #seats == n * 2 and seats or nil
end
