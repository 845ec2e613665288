-- Checks of what callers send. Python has checked it too; the store trusts nobody.
local LINES_MAX = 40        -- lines of a request, and of a hold
local QUANTITY_MAX = 1000

local function is_id(value)
  return type(value) == 'string' and #value == 32 and string.find(value, '^[0-9a-f]+$') == 1
end

local function is_count(value, most)
  return type(value) == 'number' and value >= 1 and value <= most and value % 1 == 0
end

local function is_index(value, most)
  return type(value) == 'number' and value >= 0 and value <= most and value % 1 == 0
end

local function is_digest(value)
  return type(value) == 'string' and #value == 16
end

-- lines: {{type, quantity, seats or false, split}, ...}; seats: {section, position, ...}
local function are_lines(lines, least)
  if type(lines) ~= 'table' or #lines < least or #lines > LINES_MAX then return false end
  for i = 1, #lines do
    local line = lines[i]
    if type(line) ~= 'table' or not is_index(line[1], 65535) or not is_count(line[2], QUANTITY_MAX) then
      return false
    end
    local seats = line[3]
    if seats then
      if type(seats) ~= 'table' or #seats ~= line[2] * 2 then return false end
      for j = 1, #seats do
        if not is_index(seats[j], 65535) then return false end
      end
    end
  end
  return true
end
