-- Look up a buyer's place in line.
--
-- KEYS[1]  prefix of the occurrence
-- ARGV[1]  msgpack list of {buyer, number}
--          number: of the place, 0 where it is not known; of a number that was called more is told
-- Answers  {OK, index, drawn, served, called}, INVALID, NOT_PUBLISHED, NO_PLACE
--          called: false, or {deadline to enter or 0, pass's number or 0, its end, how it ended or '',
--          now}  (sale-clock ms)
-- Records  none
-- @include "batch"
-- @include "queue"
local NUMBER_MAX = 1e9

return run(function(request)
  local buyer_id, number = request[1], request[2]
  if not (is_id(buyer_id) and is_index(number, NUMBER_MAX)) then return { INVALID } end
  local index = place_of(buyer_id)
  if not index then return { NO_PLACE } end
  load_queue()
  if number == 0 or number > queue.served then
    return { OK, index, queue.drawn, queue.served, false }
  end
  local buyer = buyer_of(buyer_id)
  local pass = buyer.pass or { 0, 0, '' }
  local until_ms = pass[2]
  local hold = hold_of(buyer)
  if pass[3] == '' and hold and hold.expires > until_ms then until_ms = hold.expires end
  local deadline = tonumber(redis.call('ZSCORE', P .. ':called', number) or 0)
  return { OK, index, queue.drawn, queue.served, { deadline, pass[1], until_ms, pass[3], now } }
end, function(request, keys)
  prefetch_place(request, keys)
  if is_id(request[1]) and request[2] ~= 0 then keys[#keys + 1] = buyer_key(request[1]) end
end)
