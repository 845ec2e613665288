-- Pause the sale: its clock stops, so no hold and no order runs out; new holds are refused.
--
-- KEYS[1]  prefix of the occurrence
-- ARGV[1]  msgpack list of one {}
-- Answers  {OK, paused since (wall-clock ms)}; pausing twice is pausing once. NOT_PUBLISHED
-- Records  none
-- @include "batch"

return run(function()
  local clock = document(P .. ':clock') or { 0, 0 }
  if clock[1] == 0 then
    clock[1] = wall
    put_document(P .. ':clock', clock)
  end
  return { OK, clock[1] }
end)
