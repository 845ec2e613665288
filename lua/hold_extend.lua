-- Give a hold its full time again, never past its end of ends. It takes nothing, so it needs no pass:
-- who waits behind it waits no longer than that.
--
-- KEYS[1]  prefix of the occurrence
-- ARGV[1]  msgpack list of {buyer, hold, key, body}
-- Answers  {OK, hold, now, wall}, INVALID, NOT_PUBLISHED, KEY_REUSED, HOLD_UNKNOWN, {HOLD_ENDED, how, order}
-- Records  none
-- @include "batch"
-- @include "hold"

local function extend(request)
  local buyer_id, hold_id, key, body = request[1], request[2], request[3], request[4]
  if not (is_id(buyer_id) and is_id(hold_id) and is_digest(key) and is_digest(body)) then
    return { INVALID }
  end
  local buyer = buyer_of(buyer_id)
  local before = answered(buyer, key)
  if before then return answer_again(buyer, before, body) end
  local hold, why = active_hold(buyer_id, hold_id)
  if not hold then return why end
  hold.version = hold.version + 1
  hold.expires = math.min(now + conf.hold_ms, hold.created + conf.hold_ms_max)
  local packed = cmsgpack.pack(hold)
  put_hold(buyer, packed)
  remember(buyer, key, body, '')
  put_document(buyer_key(buyer_id), buyer)
  set_due('h' .. buyer_id, hold.expires)
  return { OK, packed, now, wall }
end

return run(extend, prefetch_buyer)
