-- Give a place in line up, and the pass if there is one: its room is free at once.
--
-- KEYS[1]  prefix of the occurrence
-- ARGV[1]  msgpack list of {buyer, index, number}  number: of the place, 0 where it is not known
-- Answers  OK, INVALID, NOT_PUBLISHED, NO_PLACE
-- Records  queue.ended, when the buyer was called or had a pass
-- @include "batch"
-- @include "queue"
-- @include "budget"
local left = {} -- numbers to take out of those that are called

local function leave(request)
  local buyer_id, index, number = request[1], request[2], request[3]
  if not (is_id(buyer_id) and type(index) == 'number' and is_index(number, 1e9)) then
    return { INVALID }
  end
  if place_of(buyer_id) ~= index then return { NO_PLACE } end
  load_queue()
  give_up(index, number)
  put_place(buyer_id, nil)
  if number > 0 and redis.call('ZSCORE', P .. ':called', number) then
    left[#left + 1] = number
    queue_record('queue.ended', { buyer = buyer_id, number = number, how = 'left' })
  end
  queue.gone = queue.gone + 1
  spend_one(buyer_bytes(buyer_id))
  put_queue()
  end_pass(buyer_id, buyer_of(buyer_id), 'left')
  return { OK }
end

at_commit[#at_commit + 1] = function()
  if #left > 0 then redis.call('ZREM', P .. ':called', unpack(left)) end
end

return run(leave, function(request, keys)
  prefetch_place(request, keys)
  prefetch_buyer(request, keys)
end)
