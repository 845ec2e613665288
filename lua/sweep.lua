-- Expire holds whose time is over, and tell which orders are due.
--
-- KEYS[1]  prefix of the occurrence
-- ARGV[1]  msgpack list of one {most, again_ms}: at most `most` (200) deadlines are looked at;
--          an order is told again after again_ms, until it is cancelled or confirmed
-- Answers  {OK, expired holds, {order id, ...}}, INVALID, NOT_PUBLISHED
-- Records  none: a due order is cancelled at the provider before anything of it changes
-- @include "batch"
-- @include "hold"
local SWEEP_MAX = 200

return run(function(request)
  if not (is_count(request[1], SWEEP_MAX) and is_count(request[2], 3600000)) then return { INVALID } end
  local orders, ended = sweep(request[1], request[2])
  return { OK, ended, orders }
end)
