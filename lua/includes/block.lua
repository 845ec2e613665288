-- Blocked stock: set aside, not for sale. Seats leave (or join again) the pool of their category,
-- quantities a quota.
--
-- seats       {section, position, ...}
-- quantities  {{counter, n}, ...}

-- Which of the seats are not in the state that char says: {section, position, ...}.
local function seats_not(char, seats)
  local byte, others, seen = string.byte(char), {}, {}
  for i = 1, #seats, 2 do
    local name = seats[i] * 65536 + seats[i + 1]
    if seen[name] or seat_byte(seats[i], seats[i + 1]) ~= byte then
      others[#others + 1], others[#others + 2] = seats[i], seats[i + 1]
    end
    seen[name] = true
  end
  return others
end

local function move_seats(seats, from, to, char)
  for i = 1, #seats, 2 do
    local section, position = seats[i], seats[i + 1]
    local map = redis.call('GETRANGE', P .. ':categories:' .. section, position, position)
    local category = string.byte(map) - 65
    move(conf.pools[category + 1], from, to, 1)
    put_seats(section, position, 1, char)
    if to == FREE then seats_came_back(category, section, position, 1) end
  end
end

local SEATS_MAX = 10000

local function are_seats(seats)
  if type(seats) ~= 'table' or #seats % 2 ~= 0 or #seats > SEATS_MAX * 2 then return false end
  for i = 1, #seats do
    if not is_index(seats[i], 65535) then return false end
  end
  return true
end
