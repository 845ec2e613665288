-- Orders. The document is engine/sale/documents.py Order; every step raises its version by one
-- and appends the whole of it to the shard's stream, in the same script.
local function order_key(id) return P .. ':o:' .. id end

local function answer(order, packed)
  return { OK, packed or cmsgpack.pack(order), now, wall }
end

-- Take a step, and answer with it. Nothing of the order may be changed after it: it is packed once, for all.
-- moved: what of its money the step moved: {captured by another intent, given back, withdrawn by a dispute,
-- given back elsewhere}, minor units, for the ledger
local function step(order, state, kind, moved)
  order.state = state
  if order.payment then order.payment.moved = moved end
  order.version = order.version + 1
  order.changed_at = wall
  if order.payment and state ~= 'pending' then order.payment.secret = nil end -- nobody shall pay it any more
  local packed = cmsgpack.pack(order)
  record(kind, packed)
  put_document(order_key(order.id), order, packed)
  return answer(order, packed)
end

local function prefetch_orders(request, keys)
  if is_id(request[1]) then keys[#keys + 1] = order_key(request[1]) end
end

local function is_text(value, most)
  return type(value) == 'string' and #value <= most
end

local function forget_counts(order)
  local buyer = buyer_of(order.buyer)
  for i = 1, #order.lines do count(buyer, order.lines[i].type, -order.lines[i].quantity) end
  put_document(buyer_key(order.buyer), buyer)
end

-- Is all stock of the lines free, so that a cancelled order can be honoured after all?
local function all_free(lines)
  local need = {}
  for i = 1, #lines do
    local line = lines[i]
    local kind = type_of(line.type)
    for j = 1, #kind.counters do
      need[kind.counters[j]] = (need[kind.counters[j]] or 0) + line.quantity
    end
    local tier = kind.tiers[line.tier + 1].counter
    if tier then need[tier] = (need[tier] or 0) + line.quantity end
    for j = 1, #line.seats, 2 do
      if seat_byte(line.seats[j], line.seats[j + 1]) ~= 46 then return false end
    end
  end
  for counter, n in pairs(need) do
    if free_of(counter) < n then return false end
  end
  return true
end
