-- @include "codes"
-- The rules of one order, by the publication that is in force. A hold keeps its prices when the
-- rules change, not the rules: they are asked of what is in it when it is changed, and at checkout.

local function quantities(lines)
  local has = {}
  for i = 1, #lines do has[lines[i].type] = (has[lines[i].type] or 0) + lines[i].quantity end
  return has
end

-- The lines of a request that leave a type with less than its minimum, and not with none:
-- {index from 0, LINE_MIN, minimum} each, or nil. `removed` (may be nil) counts on after `wanted`.
local function below_minimum(lines, wanted, removed)
  local has, failures = quantities(lines), nil
  local function look(request, index)
    local n, least = has[request[1]], type_of(request[1]).min
    if n and n < least then
      failures = failures or {}
      failures[#failures + 1] = { index, LINE_MIN, least }
    end
  end
  for i = 1, #wanted do look(wanted[i], i - 1) end
  for i = 1, #(removed or {}) do look(removed[i], #wanted + i - 1) end
  return failures
end

-- The lines of a hold that may not become an order: {index from 0, code, limit} each, or nil.
-- The buyer's counts have the hold in them.
local function broken_rules(lines, buyer)
  local total, bought = quantities(lines), 0
  for i = 1, #buyer.counts do bought = bought + buyer.counts[i] end
  local has, all, failures = {}, 0, nil
  for i = 1, #lines do
    local index, n = lines[i].type, lines[i].quantity
    local kind = type_of(index)
    has[index], all = (has[index] or 0) + n, all + n
    local code, limit
    if total[index] < kind.min then
      code, limit = LINE_MIN, kind.min
    elseif has[index] > kind.max then
      code, limit = LINE_MAX, kind.max
    elseif all > conf.order_max then
      code, limit = LINE_ORDER_MAX, conf.order_max
    elseif kind.buyer_max and (buyer.counts[index + 1] or 0) > kind.buyer_max then
      code, limit = LINE_BUYER_MAX, kind.buyer_max
    elseif conf.buyer_max and bought > conf.buyer_max then
      code, limit = LINE_BUYER_MAX, conf.buyer_max
    end
    if code then
      failures = failures or {}
      failures[#failures + 1] = { i - 1, code, limit }
    end
  end
  return failures
end
