-- Take a place in line, or be told the one that the buyer has.
--
-- KEYS[1]  prefix of the occurrence
-- ARGV[1]  msgpack list of {buyer, leaf, budgets, over}
--          leaf: 16 bytes, the place's in the roster (engine/queue/draw/numbers.py)
--          budgets: {{name (8 bytes), soft, hard}, ...}: beyond soft the place is in the slow lane,
--          beyond hard there is none
--          over: the index of the buyer's place that is over and may be replaced, or false
-- Answers  {OK, index, drawn, served}, INVALID, NOT_PUBLISHED
--          {QUEUE_CLOSED, 'off' | 'early' | 'draining' | 'closed', in how many ms it opens or 0}
--          {BUDGET, ms}
-- Records  queue.closed_roster, by the first after the opening
-- @include "batch"
-- @include "queue"
-- @include "budget"
local PLACES_MAX = 10000000
local SLOW_GAP_MIN = 100

-- The next index: beyond those that the slow lane has reserved.
local function next_index()
  local index = queue.count
  while queue.reserved > 0 and reserved.has(index) do
    reserved.put(index, false)
    queue.reserved, index = queue.reserved - 1, index + 1
  end
  queue.count = index + 1
  return index
end

-- A place that is further back than the end of the line, but in it; later arrivals fill the gap.
local function slow_index()
  local gap = math.max(SLOW_GAP_MIN, math.floor((queue.count - queue.served) / 5))
  local index = math.max(queue.count + gap, queue.tail + 1)
  reserved.put(index, true)
  queue.reserved, queue.tail = queue.reserved + 1, index
  return index
end

local function join(request)
  local buyer_id, leaf, budgets, over = request[1], request[2], request[3], request[4]
  if not (is_id(buyer_id) and is_digest(leaf) and leaf ~= LEAF_EMPTY and are_budgets(budgets)
      and (over == false or (type(over) == 'number' and over % 1 == 0))) then
    return { INVALID }
  end
  load_queue()
  open_if_due()
  local index = place_of(buyer_id)
  if index and (index ~= over or is_inside(buyer_of(buyer_id))) then
    return { OK, index, queue.drawn, queue.served }
  end
  if not queue.on then return { QUEUE_CLOSED, 'off', 0 } end
  if queue.phase == 'planned' and wall < queue.opens - queue.pre_ms then
    return { QUEUE_CLOSED, 'early', queue.opens - queue.pre_ms - wall }
  end
  if queue.phase == 'draining' or queue.phase == 'closed' or queue.count + queue.slow >= PLACES_MAX
    or wall >= conf['until'] then
    return { QUEUE_CLOSED, queue.phase == 'draining' and 'draining' or 'closed', 0 }
  end
  local slow = spend(budgets, buyer_id)
  if slow == nil then return { BUDGET, BUDGET_WINDOW_MS - wall % BUDGET_WINDOW_MS } end
  if not slow then
    queue.joined = queue.joined + 1
    index = next_index()
    put_leaf(index, leaf)
  elseif queue.phase == 'planned' then
    queue.slow = queue.slow + 1
    index = -queue.slow
    slow_leaves[queue.slow] = leaf
  else
    index = slow_index()
    put_leaf(index, leaf)
  end
  put_place(buyer_id, index)
  put_queue()
  return { OK, index, queue.drawn, queue.served }
end

return run(join, prefetch_place)
