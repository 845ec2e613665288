-- Put blocked seats on sale: all of them, or none and those that are not blocked.
--
-- KEYS[1]  prefix of the occurrence
-- ARGV[1]  msgpack list of {{section, position, ...}}
-- Answers  OK, INVALID, NOT_PUBLISHED, {CONFLICT, {section, position, ...}}
-- Records  none: allocations are PostgreSQL's
-- @include "batch"
-- @include "best_available"
-- @include "block"

return run(function(request)
  local seats = request[1]
  if not are_seats(seats) then return { INVALID } end
  local others = seats_not('x', seats)
  if #others > 0 then return { CONFLICT, others } end
  move_seats(seats, BLOCKED, FREE, '.')
  return { OK }
end)
