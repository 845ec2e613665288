-- Pause the sale: its clock stops, so no hold and no order runs out; new holds are refused.
--
-- KEYS[1]  prefix of the occurrence
-- ARGV[1]  msgpack list of one {actor}  who does it
-- Answers  {OK, paused since (wall-clock ms)}; pausing twice is pausing once. INVALID, NOT_PUBLISHED
-- Records  queue.command, when it changes something
-- @include "batch"
-- @include "pass"

return run(function(request)
  if not is_actor(request[1]) then return { INVALID } end
  local clock = document(P .. ':clock') or { 0, 0 }
  if clock[1] == 0 then
    clock[1] = wall
    put_document(P .. ':clock', clock)
    note_command(request[1], 'pause', {})
  end
  return { OK, clock[1] }
end)
