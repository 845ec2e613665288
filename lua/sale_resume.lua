-- Resume the sale: its clock goes on where it stopped.
--
-- KEYS[1]  prefix of the occurrence
-- ARGV[1]  msgpack list of one {}
-- Answers  {OK, paused in all (ms)}, NOT_PUBLISHED
-- Records  none
-- @include "batch"

return run(function()
  local clock = document(P .. ':clock') or { 0, 0 }
  if clock[1] > 0 then
    clock[2], clock[1] = clock[2] + wall - clock[1], 0
    put_document(P .. ':clock', clock)
  end
  return { OK, clock[2] }
end)
