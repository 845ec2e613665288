-- Resume the sale: its clock goes on where it stopped.
--
-- KEYS[1]  prefix of the occurrence
-- ARGV[1]  msgpack list of one {actor}  who does it
-- Answers  {OK, paused in all (ms)}, INVALID, NOT_PUBLISHED
-- Records  queue.command, when it changes something
-- @include "batch"
-- @include "pass"

return run(function(request)
  if not is_actor(request[1]) then return { INVALID } end
  local clock = document(P .. ':clock') or { 0, 0 }
  if clock[1] > 0 then
    clock[2], clock[1] = clock[2] + wall - clock[1], 0
    put_document(P .. ':clock', clock)
    note_command(request[1], 'resume', {})
  end
  return { OK, clock[2] }
end)
