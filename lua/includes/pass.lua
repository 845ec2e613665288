-- @include "buyer"
-- Passes: who is inside. A pass is in its buyer's document, so a hold reads nothing more for it.
local queue -- engine/queue/documents.py Queue

local function load_queue()
  queue = queue or document(P .. ':queue')
  return queue
end

local function put_queue()
  put_document(P .. ':queue', queue)
end

local function queue_record(kind, what)
  what.occurrence, what.at = string.match(P, ':(.*)$'), wall
  record(kind, cmsgpack.pack(what), 'q')
end

-- values: {name = number, ...}, or {}
local function note_command(actor, command, values)
  queue_record('queue.command', { actor = actor, command = command, values = next(values) and values or nil })
end

local function is_actor(value)
  return type(value) == 'string' and #value >= 1 and #value <= 100
end

-- Is the buyer inside, so that he may make a hold?
local function is_inside(buyer)
  local pass = buyer.pass
  return pass ~= nil and pass[3] == '' and pass[2] > now
end

-- End the buyer's pass, if he has one; his room is free at once. how: 'done', 'left' or 'expired'.
local function end_pass(buyer_id, buyer, how)
  local pass = buyer.pass
  if not pass or pass[3] ~= '' then return end
  load_queue()
  buyer.pass = { pass[1], pass[2], how }
  put_document(buyer_key(buyer_id), buyer)
  queue.inside = queue.inside - 1
  if how == 'done' then queue.done = queue.done + 1 end
  put_queue()
  clear_due('p' .. buyer_id)
  queue_record('queue.ended', { buyer = buyer_id, number = pass[1], how = how })
end
