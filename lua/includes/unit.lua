-- One unit of work: what is read is kept, what is written waits, commit() writes it all.
-- So a script that fails anywhere before commit() has changed nothing, and a batch of
-- requests reads and writes every shared key once.
--
-- P       prefix of the occurrence's keys, e.g. {s07}:0191...
-- conf    configuration (see publish.lua), or nil when the occurrence is not published
-- stock   {version, then free, held, sold, blocked of each counter}
-- wall    now, wall-clock ms;  now: the same on the sale clock, which stands still in a pause
-- paused  whether the sale is paused;  gated: whether a hold needs a pass of the waiting room
local P = KEYS[1]
local SHARD = string.match(P, '^({[^}]*})')

local conf, stock, wall, now, paused, gated
do
  local time = redis.call('TIME')
  wall = time[1] * 1000 + math.floor(time[2] / 1000)
  now, paused = wall, false
  local loaded = redis.call('MGET', P .. ':conf', P .. ':stock', P .. ':clock')
  if loaded[1] then
    conf, stock = cmsgpack.unpack(loaded[1]), cmsgpack.unpack(loaded[2])
    if loaded[3] then
      -- {paused since (wall ms) or 0, paused in all (ms), 1: a hold needs a pass}
      local clock = cmsgpack.unpack(loaded[3])
      paused, gated = clock[1] > 0, clock[3] == 1
      now = (paused and clock[1] or wall) - clock[2]
    end
  end
end

local documents = {}          -- key -> decoded document, or false: not there
local changed = {}            -- key -> its packed form, or true: written at commit
local seats_now = {}          -- section * 65536 + position -> its byte, of seats that were changed
local seats_changed = {}      -- section -> true: some of its seats are in seats_now
local puts, puts_count = {}, 0 -- SETRANGE at commit: section, position, bytes, ...
local rooms_now = {}          -- category -> rank -> byte: SETRANGE at commit (includes/best_available.lua)
local due_add, due_remove = {}, {}
local records = {}
local stock_changed = false

-- Read many documents with one call, before the batch looks at each of them.
local function prefetch(keys)
  if #keys == 0 then return end
  local values = redis.call('MGET', unpack(keys))
  for i = 1, #keys do
    local value = values[i]
    documents[keys[i]] = value and cmsgpack.unpack(value) or false
  end
end

local types = {}

-- A ticket type by its index from 0, or nil. Types are packed one by one: a batch decodes what it needs.
local function type_of(index)
  local found = types[index]
  if not found and conf.types[index + 1] then
    found = cmsgpack.unpack(conf.types[index + 1])
    types[index] = found
  end
  return found
end

local function document(key)
  local found = documents[key]
  if found == nil then
    local value = redis.call('GET', key)
    found = value and cmsgpack.unpack(value) or false
    documents[key] = found
  end
  return found or nil
end

-- packed: the value's packed form, when the caller has it already
local function put_document(key, value, packed)
  documents[key], changed[key] = value, packed or true
end

local seat_keys = {}

local function seats_key(section)
  local key = seat_keys[section]
  if not key then
    key = P .. ':seats:' .. section
    seat_keys[section] = key
  end
  return key
end

-- The states of n seats from position (zero-based) on, a byte each; fewer bytes where there are no
-- such positions. A whole section is a long string, and Lua hashes every string that it is given.
local function seat_states(section, position, n)
  local states = redis.call('GETRANGE', seats_key(section), position, position + n - 1)
  if seats_changed[section] then
    local name = section * 65536 + position
    for i = 0, n - 1 do
      local char = seats_now[name + i]
      if char then states = string.sub(states, 1, i) .. char .. string.sub(states, i + 2) end
    end
  end
  return states
end

-- The state of one seat, as its byte; nil where there is no such section or position.
local function seat_byte(section, position)
  return string.byte(seat_states(section, position, 1))
end

-- A request that may have to be undone begins with savepoint() and ends with keep() or undo().
-- journal: table, key, value before (NOTHING: none), ... of all that was set since.
local NOTHING = {}
local journal, journal_count, saved_puts, saved_changed
local undone = 0 -- how many requests were undone: what was derived from their changes is void

local function savepoint()
  journal, journal_count, saved_puts, saved_changed = {}, 0, puts_count, stock_changed
end

local function keep()
  journal = nil
end

-- Set a value of a table so that undo() sets it back.
local function set(in_table, key, value)
  if journal then
    local before = in_table[key]
    if before == nil then before = NOTHING end
    journal[journal_count + 1], journal[journal_count + 2], journal[journal_count + 3] = in_table, key, before
    journal_count = journal_count + 3
  end
  in_table[key] = value
end

-- Set n seats from position (zero-based) on to the state in char.
local function put_seats(section, position, n, char)
  local name = section * 65536 + position
  for at = name, name + n - 1 do set(seats_now, at, char) end
  seats_changed[section] = true
  puts[puts_count + 1], puts[puts_count + 2] = section, position
  puts[puts_count + 3] = n == 1 and char or string.rep(char, n)
  puts_count = puts_count + 3
  stock_changed = true
end

-- Offsets of a counter's parts in stock.
local FREE, HELD, SOLD, BLOCKED = 2, 3, 4, 5

local function free_of(counter)
  return stock[counter * 4 + FREE]
end

local function move(counter, from, to, n)
  local base = counter * 4
  set(stock, base + from, stock[base + from] - n)
  set(stock, base + to, stock[base + to] + n)
  stock_changed = true
end

local function undo()
  for i = journal_count, 1, -3 do
    local before = journal[i]
    if before == NOTHING then before = nil end
    journal[i - 2][journal[i - 1]] = before
  end
  journal, puts_count, stock_changed, undone = nil, saved_puts, saved_changed, undone + 1
end

-- member: 'h' and the id of a hold's buyer, or 'o' and an order's id; at: sale-clock ms
local function set_due(member, at)
  due_add[member], due_remove[member] = at, nil
end

local function clear_due(member)
  due_add[member], due_remove[member] = nil, true
end

-- field: 'o' for a packed order, 'q' for what happened in the waiting room
local function record(kind, packed, field)
  records[#records + 1] = { kind, packed, field or 'o' }
end

local at_commit = {} -- functions that write what an include has gathered

local function commit()
  for i = 1, #at_commit do at_commit[i]() end
  local sets = {}
  for key, packed in pairs(changed) do
    sets[#sets + 1] = key
    sets[#sets + 1] = packed == true and cmsgpack.pack(documents[key]) or packed
  end
  if stock_changed then
    stock[1] = stock[1] + 1
    sets[#sets + 1] = P .. ':stock'
    sets[#sets + 1] = cmsgpack.pack(stock)
  end
  for i = 1, #sets, 1000 do
    redis.call('MSET', unpack(sets, i, math.min(i + 999, #sets)))
  end
  local touched = {}
  for i = 1, puts_count, 3 do
    redis.call('SETRANGE', seats_key(puts[i]), puts[i + 1], puts[i + 2])
    touched[puts[i]] = true
  end
  for category, rooms in pairs(rooms_now) do
    for at, char in pairs(rooms) do redis.call('SETRANGE', P .. ':room:' .. category, at, char) end
  end
  if next(touched) then
    local versions = cmsgpack.unpack(redis.call('GET', P .. ':versions'))
    for section in pairs(touched) do versions[section + 1] = stock[1] end
    redis.call('SET', P .. ':versions', cmsgpack.pack(versions))
  end
  local due = {}
  for member, at in pairs(due_add) do
    due[#due + 1] = at
    due[#due + 1] = member
  end
  for i = 1, #due, 1000 do
    redis.call('ZADD', P .. ':due', unpack(due, i, math.min(i + 999, #due)))
  end
  local gone = {}
  for member in pairs(due_remove) do gone[#gone + 1] = member end
  for i = 1, #gone, 1000 do
    redis.call('ZREM', P .. ':due', unpack(gone, i, math.min(i + 999, #gone)))
  end
  for i = 1, #records do
    redis.call('XADD', SHARD .. ':log', '*', 'k', records[i][1], records[i][3], records[i][2])
  end
end
