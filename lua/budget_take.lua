-- Take one from the budget of a name, in a window that begins with the first.
--
-- KEYS[1]  prefix of the shard's budgets, e.g. {s07}:budget
-- ARGV[1]  msgpack list of {name, limit, window_ms}
--          name: 16 hex digits; limit: at least 1; window_ms: at most a day
-- Answers  {OK}, {BUDGET, in how many ms there is a new one}, INVALID
-- Records  none: it says nothing about the sale
-- @include "codes"
-- @include "validate"
local P = KEYS[1]
local BATCH_MAX = 1000
local NAME_LENGTH = 16
local WINDOW_MS_MAX = 86400000

local requests = cmsgpack.unpack(ARGV[1])
if #requests > BATCH_MAX then return redis.error_reply('TOOLARGE at most ' .. BATCH_MAX .. ' requests a call') end
local answers = {}
for i = 1, #requests do
  local name, limit, window_ms = requests[i][1], requests[i][2], requests[i][3]
  if type(name) == 'string' and #name == NAME_LENGTH and string.find(name, '^[0-9a-f]+$')
    and is_count(limit, 1e9) and is_count(window_ms, WINDOW_MS_MAX) then
    local key = P .. ':' .. name
    local taken = tonumber(redis.call('GET', key) or 0)
    if taken >= limit then
      answers[i] = { BUDGET, math.max(redis.call('PTTL', key), 1) }
    elseif taken == 0 then
      redis.call('SET', key, 1, 'PX', window_ms)
      answers[i] = { OK }
    else
      redis.call('INCR', key)
      answers[i] = { OK }
    end
  else
    answers[i] = { INVALID }
  end
end
return cmsgpack.pack(answers)
