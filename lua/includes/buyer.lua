-- Buyers and their holds: what the store keeps of a buyer of this occurrence.
--
-- hold   {id, buyer, version, created, expires, lines = {line, ...}}  (sale-clock ms)
-- line   {type, tier, price, quantity, seats = {section, position, ...}}
-- buyer  {hold = packed hold or '', ended = {id, how, order} of the last one,
--         counts = {tickets held or ordered of each type},
--         budget, unused: see unused.lua, if there are any,
--         pass = {number, until (sale-clock ms), how it ended or ''}, if he was ever inside,
--         asked = when the turns to ask the provider are all there again (wall-clock ms), if any was taken,
--         keys = {{idempotency key, body, answer}, ...}: an order's id, or a packed hold, where '' is
--         the hold as it is now, so that nothing is written twice}
-- In requests and stored documents types, tiers, sections and counters count from 0.
local KEYS_REMEMBERED = 32

local buyer_keys = {} -- Lua makes and hashes a string anew each time

local function buyer_key(id)
  local key = buyer_keys[id]
  if not key then
    key = P .. ':b:' .. id
    buyer_keys[id] = key
  end
  return key
end

local function prefetch_buyer(request, keys)
  if is_id(request[1]) then keys[#keys + 1] = buyer_key(request[1]) end
end

local function buyer_of(id)
  return document(buyer_key(id)) or { hold = '', ended = {}, counts = {}, keys = {} }
end

local function hold_of(buyer)
  return buyer.hold ~= '' and cmsgpack.unpack(buyer.hold) or nil
end

-- The hold is another now, or none (''). Answers that were the hold as it was are kept from here on.
local function put_hold(buyer, packed)
  if buyer.hold ~= '' then
    for i = 1, #buyer.keys do
      if buyer.keys[i][3] == '' then buyer.keys[i][3] = buyer.hold end
    end
  end
  buyer.hold = packed
end

-- The stored answer to an idempotency key: {key, body, answer}, or nil.
local function answered(buyer, key)
  local keys = buyer.keys
  for i = #keys, 1, -1 do
    if keys[i][1] == key then return keys[i] end
  end
end

-- What a repeated request for a hold is told.
local function answer_again(buyer, before, body)
  if before[2] ~= body then return { KEY_REUSED } end
  return { OK, before[3] == '' and buyer.hold or before[3], now, wall }
end

local function remember(buyer, key, body, answer)
  local keys = buyer.keys
  if #keys >= KEYS_REMEMBERED then table.remove(keys, 1) end
  keys[#keys + 1] = { key, body, answer }
end

local function count(buyer, type_index, n)
  local counts = buyer.counts
  for i = #counts + 1, type_index + 1 do counts[i] = 0 end -- no gaps: it is stored as an array
  counts[type_index + 1] = counts[type_index + 1] + n
end
