-- Note that a ticket for a live connection was used.
--
-- KEYS[1]  prefix of what the shard knows of used tickets, e.g. {s07}:ticket
-- ARGV[1]  msgpack list of {ticket, ttl_s}
--          ticket: 32 hex digits of its digest; ttl_s: how long it is remembered, at most a week
-- Answers  {OK, first}  first: 1, or 0 when it was used before
--          INVALID
-- Records  none: tickets are signed, nothing else has to know them
-- @include "codes"
-- @include "validate"
local P = KEYS[1]
local BATCH_MAX = 1000
local TTL_S_MAX = 7 * 86400

local requests = cmsgpack.unpack(ARGV[1])
if #requests > BATCH_MAX then return redis.error_reply('TOOLARGE at most ' .. BATCH_MAX .. ' requests a call') end
local answers = {}
for i = 1, #requests do
  local ticket, ttl_s = requests[i][1], requests[i][2]
  if is_id(ticket) and is_count(ttl_s, TTL_S_MAX) then
    answers[i] = { OK, redis.call('SET', P .. ':' .. ticket, '', 'NX', 'EX', ttl_s) and 1 or 0 }
  else
    answers[i] = { INVALID }
  end
end
return cmsgpack.pack(answers)
