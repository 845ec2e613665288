-- Result codes. The same table is engine/platform/valkey/codes.py and lua/README.md; a test compares the three.
local OK = 0
local INVALID = 1            -- malformed request; nothing was done
local NOT_PUBLISHED = 2      -- no such occurrence here
local NOT_ON_SALE = 3        -- outside the sale window
local PAUSED = 4             -- the sale is paused
local LINES = 5              -- some lines cannot be had: {line, code, detail...} for each
local HOLD_EXISTS = 6        -- the buyer has an active hold: its id
local HOLD_UNKNOWN = 7       -- no such hold, or another buyer's
local HOLD_ENDED = 8         -- released, expired or ordered: how, and the order's id
local HOLD_CHANGED = 9       -- the hold's version is another
local HOLD_EMPTY = 10        -- the change would leave nothing in the hold: release it instead
local ORDER_UNKNOWN = 11     -- no such order, or another buyer's
local ORDER_STATE = 12       -- the order's state does not allow the step: the order
local KEY_REUSED = 13        -- the idempotency key was used with another body
local CONFLICT = 14          -- publication: the version is another, or what must be free is not
local NOT_INSIDE = 15        -- a hold without a pass of the waiting room
local NO_PLACE = 16          -- the buyer has no place in line, or another than was said
local QUEUE_CLOSED = 17      -- nobody can join or enter: why, and in how many ms it opens (0: not)
local NOT_CALLED = 18        -- the number has not been called
local PLACE_EXPIRED = 19     -- the number was called and is over: how

-- Why a line fails.
local LINE_UNKNOWN_TYPE = 20
local LINE_NOT_ON_SALE = 21
local LINE_SOLD_OUT = 22       -- nothing, or not enough, is left: how many are
local LINE_SEATS_TAKEN = 23    -- these seats (section, position, ...) are not free
local LINE_WRONG_SEATS = 24    -- these are no seats, seats of another category, or named twice
local LINE_NOT_TOGETHER = 25   -- enough is left, but not together
local LINE_MIN = 26            -- fewer than the type's minimum an order: the minimum
local LINE_MAX = 27            -- more than the type's maximum an order: the maximum
local LINE_ORDER_MAX = 28      -- more tickets than one order may have: the maximum
local LINE_BUYER_MAX = 29      -- more than one buyer may have: the maximum
local LINE_NOT_HELD = 30       -- a removal of what the hold does not have

-- More of the waiting room.
local BUDGET = 40            -- too many of the same name joined: in how many ms to try again
local FENCED = 41            -- a newer leader has taken over: its fence

-- Too much was held and not bought: in how many ms the next hold may be made, and 'buyer' or 'network'.
local HOLD_PAUSE = 42
-- Of an order's money.
local ORDER_CHANGED = 53     -- the order's version is another: the order
local DISPUTED = 54          -- the buyer's bank has the order's money while it decides: the order
