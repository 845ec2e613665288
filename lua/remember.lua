-- Keep a value under a digest for a while, unless one is kept already: the answer to a guest's
-- idempotency key, or that a ticket for a live connection was used.
--
-- KEYS[1]  prefix of what the shard remembers of one kind, e.g. {s07}:guest
-- ARGV[1]  msgpack list of {key, value, ttl_s}
--          key: 32 hex digits of the digest; value: at most 2,000 bytes
-- Answers  {OK, value, new}  what is kept now; new: 1 if it is this request's, 0 an earlier one's
--          INVALID
-- Records  none: tokens and tickets are signed, nothing else has to know them
-- @include "codes"
-- @include "validate"
local P = KEYS[1]
local BATCH_MAX = 1000
local VALUE_MAX = 2000
local TTL_S_MAX = 7 * 86400

local requests = cmsgpack.unpack(ARGV[1])
if #requests > BATCH_MAX then return redis.error_reply('TOOLARGE at most ' .. BATCH_MAX .. ' requests a call') end
local answers = {}
for i = 1, #requests do
  local key, value, ttl_s = requests[i][1], requests[i][2], requests[i][3]
  if is_id(key) and type(value) == 'string' and #value <= VALUE_MAX and is_count(ttl_s, TTL_S_MAX) then
    local earlier = redis.call('SET', P .. ':' .. key, value, 'NX', 'GET', 'EX', ttl_s)
    answers[i] = { OK, earlier or value, earlier and 0 or 1 }
  else
    answers[i] = { INVALID }
  end
end
return cmsgpack.pack(answers)
