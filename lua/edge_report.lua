-- Keep what a serving process says of its last seconds; forget those that have fallen silent.
--
-- KEYS[1]  prefix of the edge's pulse: {onsale:edge}
-- ARGV[1]  msgpack list of {process, hold_us, checkout_us, lag_us, payments, failures}
--          process: 32 hex; the others: whole numbers up to 10^9 (engine/queue/admission/edge_reports.py)
-- Answers  {OK, processes}  how many are heard of
--          INVALID
-- Records  none: it is worth nothing a few seconds later
-- @include "codes"
-- @include "validate"
local SEEN, SAID = KEYS[1] .. ':seen', KEYS[1] .. ':said'
local BATCH_MAX = 1000
local SILENT_MS = 5000
local PROCESSES_MAX = 1000
local VALUES = 5
local VALUE_MAX = 1e9

local time = redis.call('TIME')
local wall = time[1] * 1000 + math.floor(time[2] / 1000)
local requests = cmsgpack.unpack(ARGV[1])
if #requests > BATCH_MAX then return redis.error_reply('TOOLARGE at most ' .. BATCH_MAX .. ' requests a call') end

local function is_report(report)
  if #report ~= VALUES + 1 or not is_id(report[1]) then return false end
  for i = 2, VALUES + 1 do
    if not is_index(report[i], VALUE_MAX) then return false end
  end
  return true
end

local function forget(processes)
  if #processes == 0 then return end
  redis.call('ZREM', SEEN, unpack(processes))
  redis.call('HDEL', SAID, unpack(processes))
end

local answers = {}
for i = 1, #requests do
  local report = requests[i]
  if is_report(report) then
    redis.call('ZADD', SEEN, wall, report[1])
    redis.call('HSET', SAID, report[1], cmsgpack.pack({ wall, unpack(report, 2) }))
    forget(redis.call('ZRANGE', SEEN, '-inf', wall - SILENT_MS, 'BYSCORE', 'LIMIT', 0, PROCESSES_MAX))
    local count = redis.call('ZCARD', SEEN)
    if count > PROCESSES_MAX then
      forget(redis.call('ZRANGE', SEEN, 0, count - PROCESSES_MAX - 1))
      count = PROCESSES_MAX
    end
    redis.call('PEXPIRE', SEEN, SILENT_MS)
    redis.call('PEXPIRE', SAID, SILENT_MS)
    answers[i] = { OK, count }
  else
    answers[i] = { INVALID }
  end
end
return cmsgpack.pack(answers)
