-- Make a hold: all lines, or none with every failing line named.
--
-- KEYS[1]  prefix of the occurrence
-- ARGV[1]  msgpack list of {buyer, hold, key, body, lines}
--          key, body: 16-byte digests of the idempotency key and of the request's body
--          lines: {{type, quantity, seats {section, position, ...} or false, split}, ...}
-- Answers  {OK, hold, now, wall}  hold: packed document; now: sale-clock ms, wall: wall-clock ms
--          INVALID, NOT_PUBLISHED, NOT_ON_SALE, PAUSED, KEY_REUSED
--          {HOLD_EXISTS, id}  {LINES, {{line, code, ...}, ...}}
-- Records  none: holds are kept by Redis alone (docs/adr/0001)
-- @include "batch"
-- @include "hold"
-- @include "take"

local function acquire(request)
  local buyer_id, hold_id, key, body, lines =
    request[1], request[2], request[3], request[4], request[5]
  if not (is_id(buyer_id) and is_id(hold_id) and is_digest(key) and is_digest(body) and are_lines(lines, 1)) then
    return { INVALID }
  end
  local buyer = buyer_of(buyer_id)
  local before = answered(buyer, key)
  if before then
    if before[2] ~= body then return { KEY_REUSED } end
    return { OK, before[3], now, wall }
  end
  if buyer.hold ~= '' then
    if active_hold(buyer_id, buyer.hold) then return { HOLD_EXISTS, buyer.hold } end
    buyer = buyer_of(buyer_id)
  end
  if paused then return { PAUSED } end
  if wall < conf.from or wall >= conf['until'] then return { NOT_ON_SALE } end
  local taken, failures = take_or_undo(lines, {}, buyer)
  if not taken then return { LINES, failures } end
  local hold = {
    id = hold_id, buyer = buyer_id, version = 1, created = now,
    expires = now + math.min(conf.hold_ms, conf.hold_ms_max), lines = taken,
  }
  local packed = cmsgpack.pack(hold)
  buyer.hold = hold_id
  remember(buyer, key, body, packed)
  put_document(hold_key(hold_id), hold, packed)
  put_document(buyer_key(buyer_id), buyer)
  set_due('h' .. hold_id, hold.expires)
  return { OK, packed, now, wall }
end

return run(acquire, function(request, keys)
  if is_id(request[1]) then keys[#keys + 1] = buyer_key(request[1]) end
end)
