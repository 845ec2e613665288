-- Tell which orders' money is to be looked at: refunds that are owed or on their way, open disputes.
-- By the wall clock: a sale that is paused gives money back all the same.
--
-- KEYS[1]  prefix of the occurrence
-- ARGV[1]  msgpack list of one {most, again_ms}: at most `most` (200) orders; each is told again after
--          again_ms, unless something of its money changes
-- Answers  {OK, {order id, ...}, followed, raised}  how many orders are followed in all, and how many
--          wait for a person (score +inf)
--          INVALID, NOT_PUBLISHED
-- Records  none
-- @include "batch"
local MOST = 200

return run(function(request)
  if not (is_count(request[1], MOST) and is_count(request[2], 86400000)) then return { INVALID } end
  local key = P .. ':money'
  local orders = redis.call('ZRANGEBYSCORE', key, '-inf', wall, 'LIMIT', 0, request[1])
  for i = 1, #orders do redis.call('ZADD', key, wall + request[2], orders[i]) end
  return { OK, orders, redis.call('ZCARD', key), redis.call('ZCOUNT', key, '+inf', '+inf') }
end)
