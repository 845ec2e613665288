"""The waiting room as Lua keeps it and Python reads it; see lua/README.md."""

from __future__ import annotations

from typing import Literal

import msgspec

QueuePhase = Literal[
    "planned",  # before the opening; from ``opens - pre_ms`` on people join the pre-queue
    "open",  # the line moves
    "draining",  # nobody joins any more; those in line are still called
    "closed",  # nobody joins and nobody is called; those inside finish
]

PassEnd = Literal["", "done", "left", "expired"]


class Queue(msgspec.Struct, kw_only=True, gc=False):
    """The document ``P:queue``. Times in ms; ``opens`` is wall clock, the rest sale clock.

    ``count``: places given out, and the next index. ``drawn``: places in the
    draw, -1 until the roster is closed. ``slow``: places that follow behind the
    draw. ``served``: numbers called so far; whoever has a number up to it has
    been called. ``inside``: passes that are valid. ``entered``, ``done``,
    ``no_shows``, ``gone``: totals of passes given and used, of called people
    who did not come, and of places given up. ``reserved``: places of the slow
    lane beyond ``count``, the last of them ``tail``. ``joined``: joins within all
    soft budgets, a total: what the proof of work goes by. ``credit`` (millionths of a
    person), ``credit_at``: the token bucket that enforces the rate. ``fence``:
    of the last leader that called.
    """

    on: bool
    phase: QueuePhase
    opens: int
    pre_ms: int
    rate: int
    rate_ms: int
    cap: int
    claim_ms: int
    shop_ms: int
    count: int = 0
    drawn: int = -1
    slow: int = 0
    served: int = 0
    inside: int = 0
    entered: int = 0
    done: int = 0
    no_shows: int = 0
    gone: int = 0
    reserved: int = 0
    tail: int = -1
    joined: int = 0
    credit: int = 0
    credit_at: int = 0
    fence: int = 0


class Draw(msgspec.Struct, kw_only=True, frozen=True, gc=False):
    """The document ``P:draw``. ``seed``: 32 bytes in hex, secret while ``digest`` is empty.

    ``commitment``: SHA-256 of the seed, ``digest`` that of the roster (both hex); ``n`` the
    roster's places, ``drawn_at`` wall-clock ms.
    """

    seed: str
    commitment: str
    digest: str = ""
    n: int = 0
    drawn_at: int = 0


QueueRecordKind = Literal[
    "queue.command",  # what an operator did: actor, command, values
    "queue.closed_roster",  # n: nobody joins the draw any more
    "queue.drawn",  # n, digest, seed, commitment
    "queue.called",  # first, last (numbers), empty (places given up among them), rate
    "queue.entered",  # buyer, number, until
    "queue.ended",  # buyer, number, how (PassEnd)
]


class QueueRecord(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One entry of a shard's stream whose kind begins with ``queue.``: field ``q``, msgpack.

    ``at``: wall-clock ms. Only the members that the kind names are there.
    """

    occurrence: str
    at: int
    number: int = 0
    buyer: str = ""
    how: str = ""
    until: int = 0
    first: int = 0
    last: int = 0
    empty: int = 0
    n: int = 0
    digest: str = ""
    seed: str = ""  # hex
    commitment: str = ""
    actor: str = ""
    command: str = ""
    values: dict[str, int | bool] = {}
