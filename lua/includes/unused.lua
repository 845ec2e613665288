-- @include "buyer"
-- Stock that was kept and not bought, and how long who kept it waits until the next hold
-- (docs/adr/0011: reasons and figures).
--
-- Tries are counted by how long they keep stock: 1 is a hold's time. A hold that ends without an order
-- counts as long as it lasted, an order from its placing on as long as its hold and the whole time to pay
-- it: a purchase forgets that. Tries fade: half of them are forgotten in an hour.
-- budget        what a request for a hold says, in 12 bytes: pause_ms, pause_ms_max, network_free (big-endian,
--               32 bits each), and 8 bytes of the buyer's network, if it is known. A string, not a table: each
--               hold brings one, and few are looked into.
-- buyer.budget  that of the last hold of stock that was short, if it had a network: only such holds are counted
--               by network, so that the many of a good hour cost nothing
-- buyer.unused  {tries, the longest of them, sale-clock ms of the last: they have faded since};
--               a purchase forgets them all
-- P:unused:<network>  packed {tries, purchases, both as of this sale-clock ms, sale-clock ms of the last try}
local HALF_LIFE_MS = 3600000
local NETWORK_KEPT_MS = 6 * HALF_LIFE_MS -- of the wall clock; what is left by then is nothing
local TRY_MIN = 0.05    -- a hold that is let go of at once, and made again, is not free either
local TRIES_FREE = 1    -- everybody may let one cart run out, and more of them when they are short
local GROWTH = 4        -- of the pause, with each further try
local PER_PURCHASE = 4  -- tries for each purchase that are usual: four of five carts are abandoned
local SHORT = 2         -- stock is short when less than one part of so many is free

local LIMITS_BYTES, NETWORK_BYTES = 12, 8

local networks, networks_changed = {}, {} -- by the budgets' last 8 bytes

local function has_network(budget)
  return #budget == LIMITS_BYTES + NETWORK_BYTES
end

local function is_budget(budget)
  return type(budget) == 'string' and (#budget == LIMITS_BYTES or has_network(budget))
end

local function network_key(name)
  return P .. ':unused:' .. string.gsub(name, '.', function(char) return string.format('%02x', string.byte(char)) end)
end

local function faded(n, since, at)
  return n * 0.5 ^ (math.max(at - since, 0) / HALF_LIFE_MS)
end

local function network_of(name)
  local found = networks[name]
  if found == nil then
    local packed = redis.call('GET', network_key(name))
    found = packed and cmsgpack.unpack(packed) or false
    networks[name] = found
  end
  return found
end

local function note_network(buyer, tries, purchases)
  if not buyer.budget then return end
  local name = string.sub(buyer.budget, LIMITS_BYTES + 1)
  local before = network_of(name) or { 0, 0, now, now }
  networks[name] = {
    faded(before[1], before[3], now) + tries, faded(before[2], before[3], now) + purchases,
    now, tries > 0 and now or before[4],
  }
  networks_changed[name] = true
end

-- at: sale-clock ms at which the stock comes free, or now for an order, whose end begins the pause anew
local function add_tries(buyer, tries, at)
  local before = buyer.unused or { 0, 0, at }
  at = math.max(at, before[3])
  buyer.unused = {
    faded(before[1], before[3], at) + tries, math.max(faded(before[2], before[3], at), tries), at,
  }
end

-- A hold ended without an order. The caller puts the buyer.
local function note_unused_hold(buyer, hold)
  local ended = math.min(now, hold.expires)
  local tries = math.max(TRY_MIN, (ended - hold.created) / conf.hold_ms)
  add_tries(buyer, tries, ended)
  note_network(buyer, tries, 0)
end

-- An order was made of a hold and is not paid yet. The caller puts the buyer.
local function note_unpaid_order(buyer, hold)
  add_tries(buyer, (now - hold.created + conf.pay_ms) / conf.hold_ms, now)
end

-- An order ended unpaid: the pause begins again, as its stock comes free now. The caller puts the buyer.
local function note_unused_order(buyer)
  add_tries(buyer, 0, now)
  note_network(buyer, 1 + conf.pay_ms / conf.hold_ms, 0)
end

-- An order is paid, or costs nothing. The caller puts the buyer.
local function note_purchase(buyer)
  buyer.unused = nil
  note_network(buyer, 0, 1)
end

-- Is stock of one of the lines short, and not gone? Asked anew each time: one batch can take a house.
local function is_short(wanted)
  for i = 1, #wanted do
    local kind = type_of(wanted[i][1])
    local counters = kind and kind.counters or {}
    for j = 1, #counters do
      local base = counters[j] * 4
      local free = stock[base + FREE]
      if free > 0 and free * (SHORT - 1) < stock[base + HELD] + stock[base + SOLD] then return true end
    end
  end
  return false
end

-- How long the buyer's network waits, ms from now on. Its honest buyers are in it too: so its purchases
-- count, and it only waits for stock that is short.
local function network_pause(budget)
  local found = network_of(string.sub(budget, LIMITS_BYTES + 1))
  local pause, most, free = struct.unpack('>III', budget)
  if not found or free == 0 then return 0 end
  local excess = found[1] - free - PER_PURCHASE * found[2]
  if excess <= 0 then return 0 end
  return found[4] + math.min(most, pause * 2 ^ (excess / free)) - now
end

-- How long the buyer waits, ms from now on. One try is free, however long it was.
local function buyer_pause(unused, budget)
  local excess = unused[1] - math.max(TRIES_FREE, unused[2])
  if excess <= 0 then return 0 end
  local pause, most = struct.unpack('>II', budget)
  return unused[3] + math.min(most, pause * (GROWTH ^ excess - 1) / (GROWTH - 1)) - now
end

-- {HOLD_PAUSE, ms, whose} when the buyer, or their network, must wait before the next hold; or nil.
-- For a buyer without tries and stock that is not short there is nothing to look at.
local function pause_before(buyer, wanted, budget)
  local ms = buyer.unused and buyer_pause(buyer.unused, budget) or 0
  if ms > 0 then return { HOLD_PAUSE, math.ceil(ms), 'buyer' } end
  if not has_network(budget) or not is_short(wanted) then return nil end
  buyer.budget = budget
  ms = network_pause(budget)
  if ms > 0 then return { HOLD_PAUSE, math.ceil(ms), 'network' } end
end

at_commit[#at_commit + 1] = function()
  for name in pairs(networks_changed) do
    redis.call('SET', network_key(name), cmsgpack.pack(networks[name]), 'PX', NETWORK_KEPT_MS)
  end
end
