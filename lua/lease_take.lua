-- Take the lease on work that one process does at a time, or renew it.
--
-- KEYS[1]  the lease, e.g. onsale:lease:admission
-- ARGV[1]  msgpack list of {owner, ttl_ms, above}
--          owner: 32 hex, made anew by every process; ttl_ms: 1..60,000
--          above: a fence that was seen where this work is done, or 0. Should the lease have been
--          lost, the next fence is still above it
-- Answers  {OK, fence, ttl_ms}  it is the owner's for ttl_ms; fence: grows with every change of owner
--          {CONFLICT, ms}  another's, for so long if it is not renewed
--          INVALID
-- Records  none: what is done under the lease is recorded with its fence
-- @include "codes"
-- @include "validate"
local LEASE = KEYS[1]
local BATCH_MAX = 1000
local TTL_MS_MAX = 60000
local FENCE_MAX = 2 ^ 52

local time = redis.call('TIME')
local wall = time[1] * 1000 + math.floor(time[2] / 1000)
local requests = cmsgpack.unpack(ARGV[1])
if #requests > BATCH_MAX then return redis.error_reply('TOOLARGE at most ' .. BATCH_MAX .. ' requests a call') end

-- {owner, fence, until (wall-clock ms)}; it stays when it has run out, so that the fence only grows
local stored = redis.call('GET', LEASE)
local lease = stored and cmsgpack.unpack(stored) or { '', 0, 0 }

local function take(request)
  local owner, ttl_ms, above = request[1], request[2], request[3]
  if not is_id(owner) or not is_count(ttl_ms, TTL_MS_MAX) or not is_index(above, FENCE_MAX) then
    return { INVALID }
  end
  if lease[1] ~= owner and lease[3] > wall then return { CONFLICT, lease[3] - wall } end
  if lease[1] ~= owner or lease[2] < above then lease[2] = math.max(lease[2], above) + 1 end
  lease[1], lease[3] = owner, wall + ttl_ms
  redis.call('SET', LEASE, cmsgpack.pack(lease))
  return { OK, lease[2], ttl_ms }
end

local answers = {}
for i = 1, #requests do answers[i] = take(requests[i]) end
return cmsgpack.pack(answers)
