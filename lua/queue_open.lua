-- Open the line if its moment has come: the roster of the draw is closed.
--
-- KEYS[1]  prefix of the occurrence
-- ARGV[1]  msgpack list of one {}
-- Answers  {OK, drawn or -1}, NOT_PUBLISHED
-- Records  queue.closed_roster
-- @include "batch"
-- @include "queue"

return run(function()
  load_queue()
  open_if_due()
  return { OK, queue.drawn }
end)
