-- Add to and take from a hold, together or not at all. Additions give it its full time again
-- (never past its end of ends); what is in it keeps its price. What is added needs what a new hold
-- needs (includes/gate.lua), what is removed needs nothing.
--
-- KEYS[1]  prefix of the occurrence
-- ARGV[1]  msgpack list of {buyer, hold, key, body, add, remove}
--          key: '' when the change has no idempotency key
--          add: lines as in hold_acquire; remove: {{type, quantity, seats or false}, ...}
-- Answers  {OK, hold, now, wall}, INVALID, NOT_PUBLISHED, NOT_ON_SALE, PAUSED, NOT_INSIDE, KEY_REUSED,
--          HOLD_UNKNOWN, HOLD_EMPTY
--          {HOLD_ENDED, how, order}  {LINES, failures}  (removals count on after the additions)
-- Records  none
-- @include "batch"
-- @include "hold"
-- @include "take"

-- Remove n of the type, or the named seats, from lines. Returns the lines that are left, or nil.
local function remove_from(lines, index, n, seats)
  local left, wanted = {}, n
  if seats then
    local named = {}
    for j = 1, #seats, 2 do named[seats[j] * 65536 + seats[j + 1]] = true end
    for i = 1, #lines do
      local line = lines[i]
      if line.type == index then
        local stay, go = {}, {}
        for j = 1, #line.seats, 2 do
          local section, position = line.seats[j], line.seats[j + 1]
          local list = named[section * 65536 + position] and go or stay
          list[#list + 1], list[#list + 2] = section, position
        end
        wanted = wanted - #go / 2
        if #go > 0 then
          move_lines({ { type = index, tier = line.tier, quantity = #go / 2, seats = go } }, HELD, FREE)
        end
        line = { type = index, tier = line.tier, price = line.price, quantity = #stay / 2, seats = stay }
      end
      if line.quantity > 0 then left[#left + 1] = line end
    end
  else
    for i = #lines, 1, -1 do -- the last added goes first
      local line = lines[i]
      if line.type == index and wanted > 0 then
        if #line.seats > 0 then return nil end -- which seats, must be said
        local go = math.min(wanted, line.quantity)
        wanted = wanted - go
        move_lines({ { type = index, tier = line.tier, quantity = go, seats = {} } }, HELD, FREE)
        line = { type = index, tier = line.tier, price = line.price, quantity = line.quantity - go, seats = {} }
      end
      if line.quantity > 0 then table.insert(left, 1, line) end
    end
  end
  return wanted == 0 and left or nil
end

local function change(request)
  local buyer_id, hold_id, key, body, add, remove =
    request[1], request[2], request[3], request[4], request[5], request[6]
  if not (is_id(buyer_id) and is_id(hold_id) and is_digest(body) and are_lines(add, 0)
      and are_lines(remove, 0) and (key == '' or is_digest(key))) then
    return { INVALID }
  end
  local buyer = buyer_of(buyer_id)
  local before = key ~= '' and answered(buyer, key)
  if before then return answer_again(buyer, before, body) end
  local hold, why = active_hold(buyer_id, hold_id)
  if not hold then return why end
  local function make_room(lines)
    local failures
    for i = 1, #remove do
      local index, n = remove[i][1], remove[i][2]
      local left = type_of(index) and remove_from(lines, index, n, remove[i][3] or nil)
      if left then
        lines = left
        count(buyer, index, -n)
      else
        failures = failures or {}
        failures[#failures + 1] = { #add + i - 1, LINE_NOT_HELD }
      end
    end
    return lines, failures
  end
  local taken, refused = take_or_undo(add, hold.lines, buyer, nil, remove, make_room)
  if not taken then return refused end
  local expires = hold.expires
  if #add > 0 then expires = math.min(now + conf.hold_ms, hold.created + conf.hold_ms_max) end
  local changed_hold = {
    id = hold.id, buyer = hold.buyer, version = hold.version + 1, created = hold.created,
    expires = expires, lines = taken,
  }
  local packed = cmsgpack.pack(changed_hold)
  put_hold(buyer, packed)
  if key ~= '' then remember(buyer, key, body, '') end
  put_document(buyer_key(buyer_id), buyer)
  set_due('h' .. buyer_id, expires)
  return { OK, packed, now, wall }
end

return run(change, prefetch_buyer)
