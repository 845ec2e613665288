-- Read one buyer's hold or order.
--
-- KEYS[1]  prefix of the occurrence
-- ARGV[1]  msgpack list of {kind, id, buyer}  kind: 'h' a hold, 'o' an order
--          buyer: whose it must be; '' when the engine itself asks
-- Answers  {OK, document, now, wall}, INVALID, NOT_PUBLISHED, HOLD_UNKNOWN, ORDER_UNKNOWN
--          {HOLD_ENDED, how, order}
-- Records  none
-- @include "batch"

local UNKNOWN = { h = HOLD_UNKNOWN, o = ORDER_UNKNOWN }

return run(function(request)
  local kind, id, buyer_id = request[1], request[2], request[3]
  if not (UNKNOWN[kind] and is_id(id) and (buyer_id == '' or is_id(buyer_id))) then return { INVALID } end
  local found = document(P .. ':' .. kind .. ':' .. id)
  if found and (buyer_id == '' or found.buyer == buyer_id) and (kind == 'o' or found.expires > now) then
    return { OK, cmsgpack.pack(found), now, wall }
  end
  if kind == 'h' and buyer_id ~= '' then
    if found and found.buyer == buyer_id then return { HOLD_ENDED, 'expired', '' } end
    local buyer = document(P .. ':b:' .. buyer_id)
    if buyer and buyer.ended[1] == id then return { HOLD_ENDED, buyer.ended[2], buyer.ended[3] } end
  end
  return { UNKNOWN[kind] }
end, function(request, keys)
  if UNKNOWN[request[1]] and is_id(request[2]) then
    keys[#keys + 1] = P .. ':' .. request[1] .. ':' .. request[2]
  end
end)
