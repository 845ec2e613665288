-- Enter, when called: the buyer gets a pass and may hold tickets until it ends.
--
-- KEYS[1]  prefix of the occurrence
-- ARGV[1]  msgpack list of {buyer, index, number}  index, number: of the buyer's place
-- Answers  {OK, until, now} (sale-clock ms); entering twice is entering once
--          INVALID, NOT_PUBLISHED, NO_PLACE, NOT_CALLED, {PLACE_EXPIRED, 'no_show' | 'done' | 'left' | 'expired'}
--          {QUEUE_CLOSED, 'off' | 'closed', 0}
-- Records  queue.entered
-- @include "batch"
-- @include "queue"
local entered = {} -- numbers to take out of those that are called

local function enter(request)
  local buyer_id, index, number = request[1], request[2], request[3]
  if not (is_id(buyer_id) and type(index) == 'number' and is_count(number, 1e9)) then
    return { INVALID }
  end
  if place_of(buyer_id) ~= index then return { NO_PLACE } end
  load_queue()
  local buyer = buyer_of(buyer_id)
  local pass = buyer.pass
  if pass and pass[1] == number then
    if is_inside(buyer) then return { OK, pass[2], now } end
    return { PLACE_EXPIRED, pass[3] ~= '' and pass[3] or 'expired' }
  end
  if not queue.on then return { QUEUE_CLOSED, 'off', 0 } end
  if queue.phase == 'closed' then return { QUEUE_CLOSED, 'closed', 0 } end
  if number > queue.served then return { NOT_CALLED } end
  local deadline = tonumber(redis.call('ZSCORE', P .. ':called', number) or 0)
  if deadline <= now then return { PLACE_EXPIRED, 'no_show' } end
  end_pass(buyer_id, buyer, 'left')
  entered[#entered + 1] = number
  buyer.pass = { number, now + queue.shop_ms, '' }
  put_document(buyer_key(buyer_id), buyer)
  set_due('p' .. buyer_id, buyer.pass[2])
  queue.inside, queue.entered = queue.inside + 1, queue.entered + 1
  put_queue()
  queue_record('queue.entered', { buyer = buyer_id, number = number, ['until'] = buyer.pass[2] })
  return { OK, buyer.pass[2], now }
end

at_commit[#at_commit + 1] = function()
  if #entered > 0 then redis.call('ZREM', P .. ':called', unpack(entered)) end
end

return run(enter, function(request, keys)
  prefetch_place(request, keys)
  prefetch_buyer(request, keys)
end)
