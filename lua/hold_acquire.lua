-- Make a hold: all lines, or none with every failing line named.
--
-- KEYS[1]  prefix of the occurrence
-- ARGV[1]  msgpack list of {buyer, hold, key, body, lines, budget}
--          key, body: 16-byte digests of the idempotency key and of the request's body
--          lines: {{type, quantity, seats {section, position, ...} or false, split}, ...}
--          budget: how long who holds and does not buy waits (includes/unused.lua); nil: nobody does
-- Answers  {OK, hold, now, wall}  hold: packed document; now: sale-clock ms, wall: wall-clock ms
--          INVALID, NOT_PUBLISHED, NOT_ON_SALE, PAUSED, NOT_INSIDE, KEY_REUSED
--          {HOLD_EXISTS, id}  {LINES, {{line, code, ...}, ...}}  {HOLD_PAUSE, ms, 'buyer' | 'network'}
-- Records  none: holds are kept by Redis alone (docs/adr/0001)
-- @include "batch"
-- @include "hold"
-- @include "take"

local function acquire(request)
  local buyer_id, hold_id, key, body, lines, budget =
    request[1], request[2], request[3], request[4], request[5], request[6] or nil
  if not (is_id(buyer_id) and is_id(hold_id) and is_digest(key) and is_digest(body) and are_lines(lines, 1)
      and (budget == nil or is_budget(budget))) then
    return { INVALID }
  end
  local buyer = buyer_of(buyer_id)
  local before = answered(buyer, key)
  if before then return answer_again(buyer, before, body) end
  local other = hold_of(buyer)
  if other then
    if other.expires > now then return { HOLD_EXISTS, other.id } end
    end_hold(other, 'expired')
  end
  local taken, refused = take_or_undo(lines, {}, buyer, budget)
  if not taken then return refused end
  local hold = {
    id = hold_id, buyer = buyer_id, version = 1, created = now,
    expires = now + math.min(conf.hold_ms, conf.hold_ms_max), lines = taken,
  }
  local packed = cmsgpack.pack(hold)
  put_hold(buyer, packed)
  remember(buyer, key, body, '')
  put_document(buyer_key(buyer_id), buyer)
  set_due('h' .. buyer_id, hold.expires)
  return { OK, packed, now, wall }
end

return run(acquire, prefetch_buyer)
