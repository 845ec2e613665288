-- What an operator does to the line.
--
-- KEYS[1]  prefix of the occurrence
-- ARGV[1]  msgpack list of one {actor, command, values}
--          command: open, drain, close, on, off, set
--          values: of set, some of {rate, rate_ms, cap, claim_ms, shop_ms}; else {}
-- Answers  {OK, queue}, INVALID, NOT_PUBLISHED
--          {CONFLICT, why}  'off': the room is not on
-- Records  queue.command, and queue.closed_roster when it opens the line
-- @include "batch"
-- @include "queue"
local MOST = { rate = 1e6, rate_ms = 3600000, cap = 1e6, claim_ms = 3600000, shop_ms = 86400000 }

local function switch(on)
  queue.on = on
  local clock = document(P .. ':clock')
  clock[3] = on and 1 or 0
  put_document(P .. ':clock', clock)
end

local commands = {
  on = function() switch(true) end,
  off = function() switch(false) end,
  open = function()
    if queue.phase == 'planned' then
      queue.opens = math.min(queue.opens, wall)
      close_roster()
    else
      queue.phase = 'open'
    end
  end,
  drain = function()
    if queue.phase == 'planned' then close_roster() end
    queue.phase = 'draining'
  end,
  close = function()
    if queue.phase == 'planned' then close_roster() end
    queue.phase = 'closed'
  end,
  set = function(values)
    for name, value in pairs(values) do queue[name] = value end
  end,
}

return run(function(request)
  local actor, command, values = request[1], request[2], request[3]
  if not (is_actor(actor) and commands[command] and type(values) == 'table'
      and (command ~= 'set' or next(values))) then
    return { INVALID }
  end
  for name, value in pairs(values) do
    if command ~= 'set' or not MOST[name] or not is_count(value, MOST[name]) then return { INVALID } end
  end
  load_queue()
  if not queue.on and command ~= 'on' and command ~= 'off' and command ~= 'set' then
    return { CONFLICT, 'off' }
  end
  commands[command](values)
  put_queue()
  note_command(actor, command, values)
  return { OK, cmsgpack.pack(queue) }
end)
