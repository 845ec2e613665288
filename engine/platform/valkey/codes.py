"""Result codes of the scripts: the same table as lua/includes/codes.lua (a test compares them)."""

from __future__ import annotations

from enum import IntEnum


class Code(IntEnum):
    """What a command answers first; lua/README.md says what follows each."""

    OK = 0
    INVALID = 1
    NOT_PUBLISHED = 2
    NOT_ON_SALE = 3
    PAUSED = 4
    LINES = 5
    HOLD_EXISTS = 6
    HOLD_UNKNOWN = 7
    HOLD_ENDED = 8
    HOLD_CHANGED = 9
    HOLD_EMPTY = 10
    ORDER_UNKNOWN = 11
    ORDER_STATE = 12
    KEY_REUSED = 13
    CONFLICT = 14
    NOT_INSIDE = 15
    NO_PLACE = 16
    QUEUE_CLOSED = 17
    NOT_CALLED = 18
    PLACE_EXPIRED = 19
    BUDGET = 40
    FENCED = 41
    HOLD_PAUSE = 42
    ORDER_CHANGED = 53
    DISPUTED = 54


class LineCode(IntEnum):
    """Why a line fails."""

    UNKNOWN_TYPE = 20
    NOT_ON_SALE = 21
    SOLD_OUT = 22
    SEATS_TAKEN = 23
    WRONG_SEATS = 24
    NOT_TOGETHER = 25
    MIN = 26
    MAX = 27
    ORDER_MAX = 28
    BUYER_MAX = 29
    NOT_HELD = 30
