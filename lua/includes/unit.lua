-- One unit of work: what is read is kept, what is written waits, commit() writes it all.
-- So a script that fails anywhere before commit() has changed nothing, and a batch of
-- requests reads and writes every shared key once.
--
-- P       prefix of the occurrence's keys, e.g. {s07}:0191...
-- conf    configuration (see publish.lua), or nil when the occurrence is not published
-- stock   {version, then free, held, sold, blocked of each counter}
-- wall    now, wall-clock ms;  now: the same on the sale clock, which stands still in a pause
-- paused  whether the sale is paused
local P = KEYS[1]
local SHARD = string.match(P, '^({[^}]*})')

local conf, stock, wall, now, paused
do
  local time = redis.call('TIME')
  wall = time[1] * 1000 + math.floor(time[2] / 1000)
  now, paused = wall, false
  local loaded = redis.call('MGET', P .. ':conf', P .. ':stock', P .. ':clock')
  if loaded[1] then
    conf, stock = cmsgpack.unpack(loaded[1]), cmsgpack.unpack(loaded[2])
    if loaded[3] then
      local clock = cmsgpack.unpack(loaded[3]) -- {paused since (wall ms) or 0, paused in all (ms)}
      paused = clock[1] > 0
      now = (paused and clock[1] or wall) - clock[2]
    end
  end
end

local documents = {}          -- key -> decoded document, or false: not there
local changed = {}            -- key -> its packed form (or true): write (or delete) at commit
local sections = {}           -- section -> its string as it is after what was done so far
local overlays = {}           -- section whose string was not needed yet -> position -> its byte now
local puts, puts_count = {}, 0 -- SETRANGE at commit: section, position, bytes, ...
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

local function remove_document(key)
  documents[key], changed[key] = false, true
end

-- A section's string: long, so fetched only where a row has to be searched.
local function section_string(section)
  local s = sections[section]
  if not s then
    s = redis.call('GET', P .. ':seats:' .. section)
    for position, char in pairs(overlays[section] or {}) do
      s = string.sub(s, 1, position) .. char .. string.sub(s, position + 2)
    end
    sections[section] = s
  end
  return s
end

-- The state of one seat, as its byte; nil where there is no such section or position.
local function seat_byte(section, position)
  local s = sections[section]
  if s then return string.byte(s, position + 1) end
  local overlay = overlays[section]
  local char = overlay and overlay[position]
    or redis.call('GETRANGE', P .. ':seats:' .. section, position, position)
  return string.byte(char)
end

-- A request that may have to be undone begins with savepoint() and ends with keep() or undo().
local journal, saved_puts, saved_changed

local function savepoint()
  journal, saved_puts, saved_changed = {}, puts_count, stock_changed
end

local function keep()
  journal = nil
end

-- Set n seats from position (zero-based) on to the state in char.
local function put_seats(section, position, n, char)
  local s = sections[section]
  local bytes = n == 1 and char or string.rep(char, n)
  if s then
    if journal then journal[#journal + 1] = { section, s } end
    sections[section] = string.sub(s, 1, position) .. bytes .. string.sub(s, position + n + 1)
  else
    local overlay = overlays[section]
    if not overlay then
      overlay = {}
      overlays[section] = overlay
    end
    for at = position, position + n - 1 do
      if journal then journal[#journal + 1] = { section, at, overlay[at] or false, overlay, true } end
      overlay[at] = char
    end
  end
  puts[puts_count + 1], puts[puts_count + 2], puts[puts_count + 3] = section, position, bytes
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
  if journal then journal[#journal + 1] = { counter, from, to, n } end
  stock[base + from] = stock[base + from] - n
  stock[base + to] = stock[base + to] + n
  stock_changed = true
end

local function undo()
  for i = #journal, 1, -1 do
    local step = journal[i]
    if #step == 4 then -- a move of stock
      local base = step[1] * 4
      stock[base + step[2]] = stock[base + step[2]] + step[4]
      stock[base + step[3]] = stock[base + step[3]] - step[4]
    elseif #step == 3 then -- a low-water mark: {marks, n, as it was}
      step[1][step[2]] = step[3]
    elseif #step == 5 then -- a seat of a section whose string was not there then
      step[4][step[2]] = step[3] or nil
      if sections[step[1]] then sections[step[1]] = nil end
    else -- a section's string
      sections[step[1]] = step[2]
    end
  end
  journal, puts_count, stock_changed = nil, saved_puts, saved_changed
end

-- member: 'h' or 'o' and the id; at: sale-clock ms
local function set_due(member, at)
  due_add[member], due_remove[member] = at, nil
end

local function clear_due(member)
  due_add[member], due_remove[member] = nil, true
end

local function record(kind, order)
  records[#records + 1] = { kind, cmsgpack.pack(order) }
end

local function commit()
  local sets, deletes = {}, {}
  for key, packed in pairs(changed) do
    local value = documents[key]
    if value then
      sets[#sets + 1] = key
      sets[#sets + 1] = packed == true and cmsgpack.pack(value) or packed
    else
      deletes[#deletes + 1] = key
    end
  end
  if stock_changed then
    stock[1] = stock[1] + 1
    sets[#sets + 1] = P .. ':stock'
    sets[#sets + 1] = cmsgpack.pack(stock)
  end
  for i = 1, #sets, 1000 do
    redis.call('MSET', unpack(sets, i, math.min(i + 999, #sets)))
  end
  for i = 1, #deletes, 1000 do
    redis.call('DEL', unpack(deletes, i, math.min(i + 999, #deletes)))
  end
  local touched = {}
  for i = 1, puts_count, 3 do
    redis.call('SETRANGE', P .. ':seats:' .. puts[i], puts[i + 1], puts[i + 2])
    touched[puts[i]] = true
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
    redis.call('XADD', SHARD .. ':log', '*', 'k', records[i][1], 'o', records[i][2])
  end
end
