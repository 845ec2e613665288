-- Draw: with the digest of the closed roster everybody in it has a number (engine/queue/draw/numbers.py).
--
-- KEYS[1]  prefix of the occurrence
-- ARGV[1]  msgpack list of one {digest, n}  digest: SHA-256 of the roster in hex; n: its places
-- Answers  {OK, digest}  the first one given: drawing twice is drawing once
--          INVALID, NOT_PUBLISHED, {CONFLICT, drawn or -1}  the roster has another length, or is open
-- Records  queue.drawn
-- @include "batch"
-- @include "queue"

return run(function(request)
  local digest, n = request[1], request[2]
  if not (type(digest) == 'string' and #digest == 64 and is_index(n, 1e9)) then return { INVALID } end
  load_queue()
  if queue.drawn ~= n then return { CONFLICT, queue.drawn } end
  local draw = document(P .. ':draw')
  if draw.digest == '' then
    draw.digest, draw.n, draw.drawn_at = digest, n, wall
    put_document(P .. ':draw', draw)
    queue_record('queue.drawn',
      { n = n, digest = digest, seed = draw.seed, commitment = draw.commitment })
  end
  return { OK, draw.digest }
end)
