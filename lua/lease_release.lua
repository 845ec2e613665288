-- Give a lease back before it runs out; it is free at once.
--
-- KEYS[1]  the lease
-- ARGV[1]  msgpack list of {owner}
-- Answers  {OK}  it is not the owner's any more, or was not
--          INVALID
-- Records  none
-- @include "codes"
-- @include "validate"
local LEASE = KEYS[1]
local BATCH_MAX = 1000

local requests = cmsgpack.unpack(ARGV[1])
if #requests > BATCH_MAX then return redis.error_reply('TOOLARGE at most ' .. BATCH_MAX .. ' requests a call') end
local stored = redis.call('GET', LEASE)
local lease = stored and cmsgpack.unpack(stored)

local answers = {}
for i = 1, #requests do
  local owner = requests[i][1]
  if is_id(owner) then
    if lease and lease[1] == owner then
      -- without an owner: should the same process take it again, the fence grows all the same
      lease[1], lease[3] = '', 0
      redis.call('SET', LEASE, cmsgpack.pack(lease))
    end
    answers[i] = { OK }
  else
    answers[i] = { INVALID }
  end
end
return cmsgpack.pack(answers)
