-- Call the next numbers: as many as the leader allows, the operator's rate gives, and there is room for.
--
-- KEYS[1]  prefix of the occurrence
-- ARGV[1]  msgpack list of one {fence, start, indices, allowed, rate}
--          fence: the leader's; start: numbers called so far, as it knows; indices: of the places
--          with the numbers start + 1, start + 2, ...; allowed: how many to call at most;
--          rate: how many in 1,000 seconds at most, where that is less than the operator's
-- Answers  {OK, called now, served, inside, called and not yet in}, INVALID, NOT_PUBLISHED
--          {FENCED, fence}  {CONFLICT, served}  start is not what was served
-- Records  queue.called
-- @include "batch"
-- @include "queue"
local CALLS_MAX = 200
local SLOTS_MAX = 1000
local BURST_MS = 1000

local CALLED = P .. ':called'
local calls, purge = {}, false -- deadline, number, ... of those called now; whether some are too late

at_commit[#at_commit + 1] = function()
  if purge then redis.call('ZREMRANGEBYSCORE', CALLED, '-inf', now) end
  if #calls > 0 then redis.call('ZADD', CALLED, unpack(calls)) end
end

-- The operator's rate or the leader's, whichever is less: a bucket on the sale clock, so that
-- neither two leaders nor a wrong clock elsewhere can call more.
local function refill(rate)
  rate = math.min(rate, queue.rate * 1000000 / queue.rate_ms) -- in 1,000 s, as millionths a ms
  local since = math.max(now - queue.credit_at, 0)
  local most = math.max(ONE, rate * BURST_MS)
  queue.credit = math.floor(math.min(queue.credit + since * rate, most))
  queue.credit_at = now
end

-- The number's place in the roster, taken for being called; false where it is empty.
local function take_slot(index)
  if index >= queue.count then -- between the end of the line and a reserved place
    if queue.reserved > 0 and reserved.has(index) then
      reserved.put(index, false)
      queue.reserved = queue.reserved - 1
    end
    queue.count = index + 1
  end
  local from = index * LEAF_BYTES
  local leaf = redis.call('GETRANGE', P .. ':roster', from, from + LEAF_BYTES - 1)
  if leaf == '' or leaf == LEAF_EMPTY then return false end
  if not given_up.has(index) then return true end
  given_up.put(index, false)
  return false
end

return run(function(request)
  local fence, start, indices, allowed, rate = request[1], request[2], request[3], request[4], request[5]
  if not (is_count(fence, 1e15) and is_index(start, 1e9) and type(indices) == 'table'
      and #indices <= SLOTS_MAX and is_index(allowed, CALLS_MAX) and is_index(rate, 1e12)) then
    return { INVALID }
  end
  for i = 1, #indices do
    if not is_index(indices[i], 1e9) then return { INVALID } end
  end
  load_queue()
  if fence < queue.fence then return { FENCED, queue.fence } end
  queue.fence = fence
  put_queue()
  if start ~= queue.served then return { CONFLICT, queue.served } end
  local late = paused and 0 or redis.call('ZCOUNT', CALLED, '-inf', now) -- did not come in time
  queue.no_shows = queue.no_shows + late
  purge = late > 0
  local outside = redis.call('ZCARD', CALLED) - late
  local moving = queue.on and (queue.phase == 'open' or queue.phase == 'draining') and not paused
  local called, empty = 0, 0
  if moving and document(P .. ':draw').digest ~= '' then
    refill(rate)
    local most = math.min(allowed, math.floor(queue.credit / ONE), queue.cap - queue.inside - outside)
    local last = math.max(queue.count, queue.tail + 1)
    for i = 1, #indices do
      if called >= most or queue.served >= last then break end
      queue.served = queue.served + 1
      if take_slot(indices[i]) then
        called = called + 1
        calls[#calls + 1] = now + queue.claim_ms
        calls[#calls + 1] = queue.served
      else
        empty = empty + 1
      end
    end
    queue.credit = queue.credit - called * ONE
  end
  if queue.served > start then
    queue_record('queue.called', { first = start + 1, last = queue.served, empty = empty })
  end
  return { OK, called, queue.served, queue.inside, outside + called }
end, function(_, keys) keys[#keys + 1] = P .. ':queue' end)
