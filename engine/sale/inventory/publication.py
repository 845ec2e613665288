"""Puts an occurrence on sale, and applies edits to one that is.

The catalogue decides which edits are allowed in mid-sale; here they are carried
out, by one script each, all or nothing. Only where very many seats are set aside
or released there are several: each leaves a snapshot in Redis that says exactly
what is set aside, so whoever goes on sees from it what is left to do.
"""

from __future__ import annotations

import msgspec
from redis.asyncio import Redis

from engine.core.errors import ConflictError
from engine.platform.valkey import keys
from engine.platform.valkey.codes import Code
from engine.platform.valkey.connections import run_one, run_script
from engine.platform.valkey.packing import pack
from engine.queue import store as waiting
from engine.sale.errors import OccurrenceUnknownError
from engine.sale.inventory import layout
from engine.sale.inventory.inspection import (
    read_configuration,
    read_seats,
    read_snapshot,
    shard_of,
)
from engine.sale.inventory.set_aside import blocked_seats, with_blocked
from engine.sale.inventory.snapshot import Snapshot

SEATS_A_STEP = 5_000  # set aside or released by one script: below its limit, and some 20 ms
_NAMED = 20  # seats that a refusal lists


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """Where an occurrence lives; ``version`` grows with every republication."""

    occurrence: str
    shard: int
    version: int


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What a republication did. ``added``: counter name -> more stock."""

    version: int
    added: dict[str, int]
    blocked: list[str]
    unblocked: list[str]


async def publish(client: Redis, snapshot: Snapshot, *, shard: int) -> Published:
    """Load an occurrence that is not on sale yet. Raises ``ConflictError`` when it is."""
    plan = layout.lay_out(snapshot)
    stock = [1]
    for counter in plan.counters:
        stock += [counter.capacity - counter.blocked, 0, 0, counter.blocked]
    argument = pack(
        [
            layout.packed_configuration(snapshot, plan.counters, 1),
            pack(stock),
            msgspec.msgpack.encode(snapshot),
            [[s.seats, s.categories, s.segments] for s in plan.sections],
            list(plan.ranks),
            list(plan.rooms),
            pack([0, 0, int(snapshot.room.on)]),
            layout.packed_versions(snapshot),
            waiting.packed_queue(snapshot),
            waiting.packed_draw(),
        ],
    )
    answer = await run_script(client, "publish", keys.prefix(shard, snapshot.occurrence), argument)
    # also when it was published before: a publisher may have died before this line
    await announce(client, snapshot.occurrence, shard)
    if answer[0] == Code.CONFLICT:
        raise ConflictError(
            f"occurrence {snapshot.occurrence} is on sale already: republish it instead"
        )
    return Published(occurrence=snapshot.occurrence, shard=shard, version=1)


async def announce(client: Redis, occurrence: str, shard: int) -> None:
    """Let every process see an occurrence as it is published now; doing it again does no harm."""
    await client.hset(keys.OCCURRENCES, occurrence, str(shard))
    await client.incr(keys.CATALOGUE)


async def republish(client: Redis, snapshot: Snapshot) -> Changes:
    """Apply an edit to an occurrence that is on sale: all of it, or none.

    What is derived from ``snapshot``: prices, windows, names and limits for new
    holds; more capacity; seats and quantities blocked and unblocked. Of more
    than ``SEATS_A_STEP`` seats the first go with everything else, the others
    follow in steps; those to be set aside are looked at before. Raises
    ``ConflictError`` naming what stands in the way: then a seat was taken
    between two steps, or nothing was applied.
    """
    shard = await shard_of(client, snapshot.occurrence)
    old = await read_snapshot(client, snapshot.occurrence)
    steps = _steps(old, snapshot)
    if len(steps) > 1:
        await _check_free(client, shard, old, snapshot)
    added: dict[str, int] = {}
    blocked: list[str] = []
    unblocked: list[str] = []
    version = 0
    for step in steps:
        done = await _apply(client, shard, old, step)
        old, version = step, done.version
        added |= done.added
        blocked += done.blocked
        unblocked += done.unblocked
    await announce(client, snapshot.occurrence, shard)
    return Changes(version=version, added=added, blocked=blocked, unblocked=unblocked)


def _steps(old: Snapshot, new: Snapshot) -> list[Snapshot]:
    """Return what is published one after the other: ``new``, with ever more of its seats moved."""
    before, after = blocked_seats(old), blocked_seats(new)
    moved = [guid for guid in after if guid not in before]
    moved += [guid for guid in before if guid not in after]
    steps = []
    for done in range(SEATS_A_STEP, len(moved), SEATS_A_STEP):
        to_come = set(moved[done:])
        aside = (after.keys() - to_come) | (to_come & before.keys())
        steps.append(with_blocked(new, aside))
    return [*steps, new]


async def _check_free(client: Redis, shard: int, old: Snapshot, new: Snapshot) -> None:
    """Refuse before the first step what the last would be refused for."""
    block, _, _, _ = _changed_seats(old, new)
    states = await read_seats(client, shard, new.occurrence)
    taken = [
        pair
        for pair in zip(block[::2], block[1::2], strict=True)
        if states[pair[0]][pair[1] : pair[1] + 1] != layout.FREE
    ]
    if taken:
        seats = [number for pair in taken for number in pair]
        raise ConflictError(_obstacle([Code.CONFLICT, b"block", seats], new, ()))


async def _apply(client: Redis, shard: int, old: Snapshot, snapshot: Snapshot) -> Changes:
    """Apply one step: all of it, or none."""
    prefix = keys.prefix(shard, snapshot.occurrence)
    before = await read_configuration(client, shard, snapshot.occurrence)
    wanted = layout.counters(snapshot, known=before.names)
    old_blocked = {counter.name: counter.blocked for counter in layout.counters(old)}
    added: dict[str, int] = {}
    quantities = []
    for index, (counter, capacity) in enumerate(zip(wanted, before.capacities, strict=False)):
        if counter.capacity < capacity:
            raise ConflictError(f"{counter.name}: {capacity} are on sale, that cannot be lowered")
        if counter.capacity > capacity:
            added[counter.name] = counter.capacity - capacity
        if counter.name.startswith("quota:") and counter.blocked != old_blocked[counter.name]:
            quantities.append([index, counter.blocked - old_blocked[counter.name]])
    block, unblock, blocked, unblocked = _changed_seats(old, snapshot)
    index_of = {counter.name: i for i, counter in enumerate(wanted)}
    version = before.version + 1
    answer = await run_one(
        client,
        "republish",
        prefix,
        [
            before.version,
            layout.packed_configuration(snapshot, wanted, version),
            msgspec.msgpack.encode(snapshot),
            [[index_of[name], n] for name, n in added.items()],
            [[c.capacity - c.blocked, c.blocked] for c in wanted[len(before.names) :]],
            block,
            unblock,
            quantities,
            waiting.changed_settings(old, snapshot),
        ],
    )
    if answer[0] == Code.NOT_PUBLISHED:
        raise OccurrenceUnknownError
    if answer[0] == Code.CONFLICT:
        raise ConflictError(_obstacle(answer, snapshot, wanted))
    if answer[0] != Code.OK:
        raise ConflictError(f"the edit was refused with code {answer[0]}")
    return Changes(version=version, added=added, blocked=blocked, unblocked=unblocked)


def _changed_seats(
    old: Snapshot, new: Snapshot
) -> tuple[list[int], list[int], list[str], list[str]]:
    block: list[int] = []
    unblock: list[int] = []
    blocked: list[str] = []
    unblocked: list[str] = []
    for index, (was, now) in enumerate(zip(old.sections, new.sections, strict=True)):
        pairs = zip(layout.positions(was), layout.positions(now), strict=True)
        for (position, _, seat_was), (_, _, seat_now) in pairs:
            if seat_now.guid != seat_was.guid:
                raise ConflictError("the seat map cannot change in mid-sale")
            if seat_now.blocked and not seat_was.blocked:
                block += [index, position]
                blocked.append(seat_now.guid)
            elif seat_was.blocked and not seat_now.blocked:
                unblock += [index, position]
                unblocked.append(seat_now.guid)
    return block, unblock, blocked, unblocked


def _obstacle(answer: list[object], snapshot: Snapshot, stock: tuple[layout.Counter, ...]) -> str:
    what, which = answer[1], answer[2]
    if what == b"version":
        return "somebody else published in the meantime: publish again"
    if what == b"quantity" and isinstance(which, list):
        names = ", ".join(stock[index].name for index in which)
        return f"not enough is free to set that much aside: {names}"
    guids = {
        (index, position): seat.guid
        for index, section in enumerate(snapshot.sections)
        for position, _, seat in layout.positions(section)
    }
    seats = which if isinstance(which, list) else []
    pairs = list(zip(seats[::2], seats[1::2], strict=True))
    named = ", ".join(guids[pair] for pair in pairs[:_NAMED])
    if len(pairs) > _NAMED:
        named += f", and {len(pairs) - _NAMED:,} more"
    if what == b"block":
        return f"these seats are held or sold and cannot be blocked now: {named}"
    return f"these seats are not blocked: {named}"
