-- Read one buyer's hold or order.
--
-- KEYS[1]  prefix of the occurrence
-- ARGV[1]  msgpack list of {kind, id, buyer}  kind: 'h' a hold, 'o' an order
--          buyer: whose it must be; '' when the engine itself asks, for an order only
-- Answers  {OK, document, now, wall}, INVALID, NOT_PUBLISHED, HOLD_UNKNOWN, ORDER_UNKNOWN
--          {HOLD_ENDED, how, order}
-- Records  none
-- @include "batch"
-- @include "buyer"

local KINDS = { h = true, o = true }

return run(function(request)
  local kind, id, buyer_id = request[1], request[2], request[3]
  if not (KINDS[kind] and is_id(id) and (is_id(buyer_id) or (kind == 'o' and buyer_id == ''))) then
    return { INVALID }
  end
  if kind == 'o' then
    local order = document(P .. ':o:' .. id)
    if not order or (buyer_id ~= '' and order.buyer ~= buyer_id) then return { ORDER_UNKNOWN } end
    return { OK, cmsgpack.pack(order), now, wall }
  end
  local buyer = buyer_of(buyer_id)
  local hold = hold_of(buyer)
  if hold and hold.id == id then
    if hold.expires > now then return { OK, buyer.hold, now, wall } end
    return { HOLD_ENDED, 'expired', '' }
  end
  if buyer.ended[1] == id then return { HOLD_ENDED, buyer.ended[2], buyer.ended[3] } end
  return { HOLD_UNKNOWN }
end, function(request, keys)
  if request[1] == 'h' and is_id(request[3]) then keys[#keys + 1] = buyer_key(request[3]) end
  if request[1] == 'o' and is_id(request[2]) then keys[#keys + 1] = P .. ':o:' .. request[2] end
end)
