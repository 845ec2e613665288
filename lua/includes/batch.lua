-- @include "codes"
-- @include "unit"
-- @include "validate"
-- The frame of every batched command: ARGV[1] is a msgpack list of requests, the reply a msgpack
-- list with one answer for each: {code, ...}. One request never spoils another's answer.
local BATCH_MAX = 1000

local function run(handle, keys_of)
  local requests = cmsgpack.unpack(ARGV[1])
  if #requests > BATCH_MAX then return redis.error_reply('TOOLARGE at most ' .. BATCH_MAX .. ' requests a call') end
  local answers = {}
  if not conf then
    for i = 1, #requests do answers[i] = { NOT_PUBLISHED } end
    return cmsgpack.pack(answers)
  end
  if keys_of then
    local keys = {}
    for i = 1, #requests do keys_of(requests[i], keys) end
    prefetch(keys)
  end
  for i = 1, #requests do answers[i] = handle(requests[i]) end
  commit()
  return cmsgpack.pack(answers)
end
