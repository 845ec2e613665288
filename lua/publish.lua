-- Load the inventory of an occurrence that is not published yet.
--
-- KEYS[1]  prefix of the occurrence
-- ARGV[1]  msgpack {conf, stock, snapshot, sections, ranks, rooms, clock, versions,
--          queue, draw}
--   conf      packed {version, from, until, hold_ms, hold_ms_max, pay_ms, order_max, buyer_max,
--             pools = {counter of each category}, names = {name of each counter}, capacities,
--             types = {packed {code, category, category_char, counters, min, max, buyer_max, from, until,
--                              tiers = {{price, counter, from, until}, ...}}, ...}}
--   stock     packed {version, then free, held, sold, blocked of each counter}
--   snapshot  the packed Snapshot, for everybody who reads
--   sections  {{seats, categories, segments}, ...}  one byte, one byte, two bytes a position
--   ranks     {8 bytes a segment of each category, best first}; see includes/best_available.lua
--   rooms     {a byte a segment of each category}
--   clock     packed {paused since or 0, paused in all, 1 when a hold needs a pass}; versions: packed {1 for each section}
--   queue, draw  packed Queue and Draw (engine/queue/documents.py)
-- Answers  {OK}, {CONFLICT} it is published already
-- Records  none: PostgreSQL had it first
-- @include "codes"

local P = KEYS[1]
local load = cmsgpack.unpack(ARGV[1])
if redis.call('EXISTS', P .. ':conf') == 1 then return cmsgpack.pack({ CONFLICT }) end
local sections, ranks, rooms = load[4], load[5], load[6]
for i = 1, #sections do
  redis.call('MSET',
    P .. ':seats:' .. i - 1, sections[i][1],
    P .. ':categories:' .. i - 1, sections[i][2],
    P .. ':segments:' .. i - 1, sections[i][3])
end
for i = 1, #ranks do
  redis.call('MSET', P .. ':rank:' .. i - 1, ranks[i], P .. ':room:' .. i - 1, rooms[i])
end
redis.call('MSET', P .. ':versions', load[8], P .. ':stock', load[2], P .. ':snapshot', load[3],
  P .. ':clock', load[7], P .. ':queue', load[9], P .. ':draw', load[10], P .. ':conf', load[1])
return cmsgpack.pack({ OK })
