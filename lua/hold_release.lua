-- Let go of a hold: its stock is free at once. Repeating it is the same as doing it once.
--
-- KEYS[1]  prefix of the occurrence
-- ARGV[1]  msgpack list of {buyer, hold}
-- Answers  OK, INVALID, NOT_PUBLISHED, HOLD_UNKNOWN, {HOLD_ENDED, 'ordered', order}
-- Records  none
-- @include "batch"
-- @include "hold"

local function release(request)
  local buyer_id, hold_id = request[1], request[2]
  if not (is_id(buyer_id) and is_id(hold_id)) then return { INVALID } end
  local hold, why = active_hold(buyer_id, hold_id)
  if hold then
    end_hold(hold, 'released')
    return { OK }
  end
  if why[1] == HOLD_ENDED and why[2] ~= 'ordered' then return { OK } end
  return why
end

return run(release, prefetch_buyer)
