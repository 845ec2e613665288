-- @include "pass"
-- @include "unused"
-- The gate: may the buyer take stock at this moment? The one function that takes free stock for buyers
-- (take.lua) asks, so no command can forget it. Giving back never asks, nor does keeping what one has.
--
-- budget: of a request that begins a hold; nil where the buyer has one. Returns nil, or the answer
-- that refuses.
local function refusal(buyer, wanted, budget)
  if paused then return { PAUSED } end
  if gated and not is_inside(buyer) then return { NOT_INSIDE } end
  if wall < conf.from or wall >= conf['until'] then return { NOT_ON_SALE } end
  return budget and pause_before(buyer, wanted, budget)
end
