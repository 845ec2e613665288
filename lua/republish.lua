-- Apply an edit in mid-sale: all of it, or nothing and what stands in its way.
--
-- KEYS[1]  prefix of the occurrence
-- ARGV[1]  msgpack list of one {version, conf, snapshot, added, fresh, block, unblock, quantities,
--          room}
--   version     the one that the edit was planned on
--   conf        packed, as in publish; its version is higher
--   added       {{counter, n}, ...}  more stock for counters that there are
--   fresh       {{free, blocked}, ...}  counters that are new, in their order
--   block, unblock  {section, position, ...}
--   quantities  {{counter, n}, ...}  n more of a quota blocked (fewer, when negative)
--   room        {member of Queue = value, ...}  what the edit changes of the waiting room
-- Answers  {OK}, INVALID, NOT_PUBLISHED
--          {CONFLICT, 'version', version}  somebody else published in between
--          {CONFLICT, 'block', seats}  {CONFLICT, 'unblock', seats}  {CONFLICT, 'quantity', {counter, ...}}
-- Records  none
-- @include "batch"
-- @include "best_available"
-- @include "block"
-- @include "pass"

return run(function(request)
  local version, packed, snapshot, added, fresh, block, unblock, quantities, room =
    request[1], request[2], request[3], request[4], request[5], request[6], request[7], request[8], request[9]
  if not (are_seats(block) and are_seats(unblock)) then return { INVALID } end
  if conf.version ~= version then return { CONFLICT, 'version', conf.version } end
  local others = seats_not('.', block)
  if #others > 0 then return { CONFLICT, 'block', others } end
  others = seats_not('x', unblock)
  if #others > 0 then return { CONFLICT, 'unblock', others } end
  local short, more = {}, {}
  for i = 1, #added do more[added[i][1]] = added[i][2] end
  for i = 1, #quantities do
    local counter, n = quantities[i][1], quantities[i][2]
    if free_of(counter) + (more[counter] or 0) < n or stock[counter * 4 + BLOCKED] + n < 0 then
      short[#short + 1] = counter
    end
  end
  if #short > 0 then return { CONFLICT, 'quantity', short } end
  for i = 1, #added do
    local at = added[i][1] * 4 + FREE
    stock[at] = stock[at] + added[i][2]
  end
  for i = 1, #fresh do
    local n = #stock
    stock[n + 1], stock[n + 2], stock[n + 3], stock[n + 4] = fresh[i][1], 0, 0, fresh[i][2]
  end
  stock_changed = true
  if next(room) then
    load_queue()
    for name, value in pairs(room) do
      if name ~= 'opens' or queue.phase == 'planned' then queue[name] = value end
    end
    put_queue()
    local clock = document(P .. ':clock')
    clock[3] = queue.on and 1 or 0
    put_document(P .. ':clock', clock)
  end
  move_seats(block, FREE, BLOCKED, 'x')
  move_seats(unblock, BLOCKED, FREE, '.')
  for i = 1, #quantities do move(quantities[i][1], FREE, BLOCKED, quantities[i][2]) end
  redis.call('MSET', P .. ':conf', packed, P .. ':snapshot', snapshot)
  return { OK }
end)
