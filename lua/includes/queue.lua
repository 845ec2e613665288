-- @include "pass"
-- The line in front of a sale: who has which place. queue is engine/queue/documents.py Queue.
--
-- A place is known by its index, the order of joining, from 0. In the pre-queue a buyer of the slow
-- lane has -(k + 1) instead: he is the k-th to follow behind the draw.
local LEAF_BYTES = 16
local ONE = 1000000 -- credit for calling one person
local LEAF_EMPTY = string.rep('\0', LEAF_BYTES)

local names = {}           -- of the places that the batch will ask for
local places = {}          -- 16-byte buyer -> index, or false: none
local places_changed = {}  -- 16-byte buyer -> true
local leaves = {}          -- index, leaf, ...: the roster's changes
local slow_leaves = {}     -- the same behind the draw, without indexes
local slow_from            -- index from which on the slow lane follows in the roster, when that begins now

local byte_of = setmetatable({}, { -- two hex digits -> a byte: a batch converts each pair once
  __index = function(found, pair)
    found[pair] = string.char(tonumber(pair, 16))
    return found[pair]
  end,
})
local buyers_bytes = {}

local function buyer_bytes(id)
  local bytes = buyers_bytes[id]
  if not bytes then
    bytes = string.gsub(id, '..', byte_of)
    buyers_bytes[id] = bytes
  end
  return bytes
end

-- What a queue command reads before its requests; each request begins with a buyer.
local function prefetch_place(request, keys)
  if #names == 0 then keys[#keys + 1] = P .. ':queue' end
  if is_id(request[1]) then names[#names + 1] = buyer_bytes(request[1]) end
end

-- The index of the buyer's place, or nil.
local function place_of(id)
  if #names > 0 then
    for from = 1, #names, 1000 do
      local to = math.min(from + 999, #names)
      local found = redis.call('HMGET', P .. ':places', unpack(names, from, to))
      for i = from, to do places[names[i]] = tonumber(found[i - from + 1]) or false end
    end
    names = {}
  end
  return places[buyer_bytes(id)] or nil
end

-- index: nil gives the place up
local function put_place(id, index)
  local name = buyer_bytes(id)
  places[name], places_changed[name] = index or false, true
end

local function put_leaf(index, leaf)
  leaves[#leaves + 1], leaves[#leaves + 2] = index, leaf
end

-- A set of indexes: read once each, written at commit.
local function index_set(name)
  local key, members, changed = P .. ':' .. name, {}, {}
  local set = {}
  function set.has(index)
    if members[index] == nil then members[index] = redis.call('SISMEMBER', key, index) == 1 end
    return members[index]
  end
  function set.put(index, is_in)
    members[index], changed[index] = is_in, true
  end
  at_commit[#at_commit + 1] = function()
    for index in pairs(changed) do
      redis.call(members[index] and 'SADD' or 'SREM', key, index)
    end
  end
  return set
end

local reserved = index_set('reserved')
local given_up = index_set('given_up')

-- A place is given up: its leaf is emptied before the draw. After it the roster is evidence, so the
-- place is only noted, until its number (0: not known yet) comes to be called.
local function give_up(index, number)
  if queue.drawn < 0 then
    if index >= 0 then put_leaf(index, LEAF_EMPTY) else slow_leaves[-index] = LEAF_EMPTY end
  elseif number == 0 or number > queue.served then
    given_up.put(index >= 0 and index or queue.drawn - index - 1, true)
  end
end

local function write_places()
  local sets, gone = {}, {}
  for name in pairs(places_changed) do
    if places[name] then
      sets[#sets + 1] = name
      sets[#sets + 1] = places[name]
    else
      gone[#gone + 1] = name
    end
  end
  for i = 1, #sets, 1000 do
    redis.call('HSET', P .. ':places', unpack(sets, i, math.min(i + 999, #sets)))
  end
  for i = 1, #gone, 1000 do
    redis.call('HDEL', P .. ':places', unpack(gone, i, math.min(i + 999, #gone)))
  end
  local i = 1
  while i < #leaves do -- neighbours are written together
    local first, piece = leaves[i], { leaves[i + 1] }
    while leaves[i + 2] == first + #piece do
      piece[#piece + 1] = leaves[i + 3]
      i = i + 2
    end
    redis.call('SETRANGE', P .. ':roster', first * LEAF_BYTES, table.concat(piece))
    i = i + 2
  end
  for k, leaf in pairs(slow_leaves) do
    redis.call('SETRANGE', P .. ':slow', (k - 1) * LEAF_BYTES, leaf)
  end
  if slow_from then
    redis.call('SETRANGE', P .. ':roster', slow_from * LEAF_BYTES, redis.call('GET', P .. ':slow'))
    redis.call('DEL', P .. ':slow')
  end
end
at_commit[#at_commit + 1] = write_places

-- Close the roster of the draw. Whoever joins from now on follows in the order of arrival, and
-- before them those of the slow lane.
local function close_roster()
  queue.phase, queue.drawn = 'open', queue.count
  queue.credit, queue.credit_at = ONE, now -- the first is called at once, the others in turn
  if queue.slow > 0 then
    slow_from = queue.count
    queue.count = queue.count + queue.slow
  end
  put_queue()
  queue_record('queue.closed_roster', { n = queue.drawn })
end

-- Open the line when its moment has come: by this clock, whoever asks first.
local function open_if_due()
  if queue.on and queue.phase == 'planned' and wall >= queue.opens then close_roster() end
end
