from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from engine.catalogue.limits import laid_out
from engine.catalogue.stadium import stadium
from engine.core.errors import ConflictError, InvalidRequestError
from engine.core.ids import new_id
from engine.platform.valkey import keys
from engine.platform.valkey.codes import Code
from engine.sale.errors import OccurrenceUnknownError
from engine.sale.inventory import inspection, layout, publication, set_aside
from engine.sale.inventory.snapshot import Quota, Snapshot, TicketType, Tier
from tests.conservation import assert_conserved
from tests.houses import small_house
from tests.store.conftest import SHARD, House

STALLS, BALCONY, ACCESSIBLE, STANDING, REDUCED = range(5)


def edited(snapshot: Snapshot, **changes: Any) -> Snapshot:
    return msgspec.structs.replace(snapshot, **changes)


def with_blocked(snapshot: Snapshot, *guids: str) -> Snapshot:
    return edited(
        snapshot,
        sections=tuple(
            msgspec.structs.replace(
                section,
                rows=tuple(
                    msgspec.structs.replace(
                        row,
                        seats=tuple(
                            msgspec.structs.replace(seat, blocked=seat.guid in guids)
                            for seat in row.seats
                        ),
                    )
                    for row in section.rows
                ),
            )
            for section in snapshot.sections
        ),
    )


async def test_what_is_published_is_read_back(house: House, redis_client: Redis) -> None:
    occurrence = house.snapshot.occurrence
    assert await inspection.read_snapshot(redis_client, occurrence) == house.snapshot
    assert await inspection.published(redis_client) == {occurrence: SHARD}
    assert await inspection.read_seats(redis_client, SHARD, occurrence) == [
        b"......|......|......",
        b"......|......|......",
        b"..",
    ]


async def test_publishing_twice_is_refused_and_changes_nothing(
    house: House, redis_client: Redis
) -> None:
    await house.hold([STANDING, 2, False, False])
    with pytest.raises(ConflictError):
        await publication.publish(redis_client, house.snapshot, shard=SHARD)
    assert (await house.counter("quota:standing")).held == 2


async def test_blocked_seats_and_quantities_are_not_for_sale(redis_client: Redis) -> None:
    snapshot = with_blocked(small_house(), "A-1-1", "A-1-2")
    standing = msgspec.structs.replace(snapshot.quotas[0], blocked=4)
    snapshot = edited(snapshot, quotas=(standing, snapshot.quotas[1]))
    await publication.publish(redis_client, snapshot, shard=SHARD)
    counters = {
        counter.key: counter
        for counter in await inspection.read_counters(redis_client, SHARD, snapshot.occurrence)
    }
    assert (counters["category:Stalls"].free, counters["category:Stalls"].blocked) == (16, 2)
    assert (counters["quota:standing"].free, counters["quota:standing"].blocked) == (6, 4)


async def test_an_edit_in_mid_sale_changes_prices_for_new_holds_only(
    house: House, redis_client: Redis
) -> None:
    before = await house.hold([BALCONY, 1, False, False])
    kinds = list(house.snapshot.ticket_types)
    kinds[BALCONY] = msgspec.structs.replace(
        kinds[BALCONY], tiers=(Tier(code="full", name="Full price", price=2500),)
    )
    after = edited(house.snapshot, ticket_types=tuple(kinds))
    changes = await publication.republish(redis_client, after)
    assert changes.version == 2
    assert (await house.hold([BALCONY, 1, False, False])).lines[0].price == 2500
    assert before.lines[0].price == 2000
    answer = await house.commands.read(house.place, "h", before.id, before.buyer)
    assert answer[0] == Code.OK


async def test_an_edit_adds_stock_types_and_tiers(house: House, redis_client: Redis) -> None:
    await house.hold([STANDING, 6, False, False])
    new = TicketType(
        code="vip",
        name="VIP",
        kind="general",
        quotas=(2,),
        tiers=(Tier(code="only", name="Only", price=9900, capacity=2),),
    )
    after = edited(
        house.snapshot,
        quotas=(
            msgspec.structs.replace(house.snapshot.quotas[0], capacity=25),
            house.snapshot.quotas[1],
            Quota(code="vip", name="VIP", capacity=5, blocked=1),
        ),
        ticket_types=(*house.snapshot.ticket_types, new),
    )
    changes = await publication.republish(redis_client, after)
    assert changes.added == {"quota:standing": 15}
    standing = await house.counter("quota:standing")
    assert (standing.free, standing.held, standing.capacity) == (19, 6, 25)
    hold = await house.hold([5, 2, False, False])
    assert hold.lines[0].price == 9900
    assert (await house.acquire([5, 1, False, False]))[0] == Code.LINES
    vip = await house.counter("quota:vip")
    assert (vip.free, vip.held, vip.blocked) == (2, 2, 1)


async def test_seats_are_blocked_and_unblocked_in_mid_sale(
    house: House, redis_client: Redis
) -> None:
    blocked = with_blocked(house.snapshot, "A-1-1", "A-1-2")
    changes = await publication.republish(redis_client, blocked)
    assert changes.blocked == ["A-1-1", "A-1-2"]
    assert (await house.acquire([STALLS, 1, [0, 0], False]))[0] == Code.LINES
    changes = await publication.republish(redis_client, with_blocked(house.snapshot, "A-1-2"))
    assert changes.unblocked == ["A-1-1"]
    assert (await house.acquire([STALLS, 1, [0, 0], False]))[0] == Code.OK


async def test_a_seat_that_is_held_cannot_be_blocked_and_is_named(
    house: House, redis_client: Redis
) -> None:
    await house.hold([STALLS, 1, [0, 0], False])
    with pytest.raises(ConflictError, match=r"cannot be blocked now: A-1-1$"):
        await publication.republish(redis_client, with_blocked(house.snapshot, "A-1-1", "A-1-2"))
    assert (await house.counter("category:Stalls")).blocked == 0


async def test_a_quota_cannot_be_set_aside_beyond_what_is_free(
    house: House, redis_client: Redis
) -> None:
    await house.hold([STANDING, 6, False, False])
    standing = msgspec.structs.replace(house.snapshot.quotas[0], blocked=5)
    after = edited(house.snapshot, quotas=(standing, house.snapshot.quotas[1]))
    with pytest.raises(ConflictError, match="quota:standing"):
        await publication.republish(redis_client, after)


async def test_stock_cannot_be_lowered_or_taken_away(house: House, redis_client: Redis) -> None:
    lower = msgspec.structs.replace(house.snapshot.quotas[0], capacity=9)
    with pytest.raises(ConflictError, match="quota:standing: 10 are on sale"):
        await publication.republish(
            redis_client, edited(house.snapshot, quotas=(lower, house.snapshot.quotas[1]))
        )
    kinds = list(house.snapshot.ticket_types)
    kinds[STALLS] = msgspec.structs.replace(
        kinds[STALLS], tiers=(Tier(code="full", name="Full price", price=4500),)
    )
    with pytest.raises(InvalidRequestError, match="tier:stalls/early"):
        await publication.republish(redis_client, edited(house.snapshot, ticket_types=tuple(kinds)))


async def test_what_is_not_published_cannot_be_republished(redis_client: Redis) -> None:
    with pytest.raises(OccurrenceUnknownError):
        await publication.republish(redis_client, small_house())


async def test_blocking_by_command_is_all_or_nothing(house: House) -> None:
    await house.hold([STALLS, 1, [0, 0], False])
    commands, place = house.commands, house.place
    assert await commands.block(place, [0, 0, 0, 1]) == [Code.CONFLICT, [0, 0]]
    assert await commands.block(place, [0, 1, 0, 1]) == [Code.CONFLICT, [0, 1]]
    assert await commands.block(place, [0, 1, 0, 2]) == [Code.OK]
    assert await commands.unblock(place, [0, 1, 0, 3]) == [Code.CONFLICT, [0, 3]]
    assert await commands.unblock(place, [0, 1]) == [Code.OK]
    assert (await house.counter("category:Stalls")).blocked == 1


async def test_every_key_of_an_occurrence_has_its_hash_tag(
    house: House, redis_client: Redis
) -> None:
    hold = await house.hold([STALLS, 1, [0, 0], False])
    await house.order(hold)
    await house.hold([STANDING, 1, False, False])
    names = {name.decode() async for name in redis_client.scan_iter()}
    assert names - {keys.OCCURRENCES, keys.CATALOGUE} == {
        name for name in names if name.startswith("{s07}:")
    }


def test_a_house_with_too_many_categories_is_refused() -> None:
    from engine.sale.inventory.snapshot import Category

    crowd = tuple(Category(name=str(i)) for i in range(59))
    with pytest.raises(InvalidRequestError, match="58"):
        layout.lay_out(small_house(categories=crowd, ticket_types=(), sections=()))


def test_shards_are_part_of_every_key() -> None:
    assert keys.prefix(3, "0" * 32) == "{s03}:" + "0" * 32
    assert len(set(keys.STREAMS)) == keys.SHARD_COUNT
    assert new_id() != new_id()


async def test_more_seats_than_a_script_takes_are_set_aside_and_released_in_steps(
    redis_client: Redis,
) -> None:
    bowl = await asyncio.to_thread(
        stadium, 12_000, slug="bowl", occurrences=1, general=0
    )  # it reads the time zone
    assert bowl.plan is not None
    snapshot = edited(laid_out(bowl.plan, {}), occurrence=new_id())
    await publication.publish(redis_client, snapshot, shard=SHARD)
    everything = [s.guid for one in snapshot.sections for row in one.rows for s in row.seats]
    for aside in (everything, [], everything[:7_000]):
        wanted = set_aside.with_blocked(snapshot, set(aside))
        before = await inspection.read_configuration(redis_client, SHARD, snapshot.occurrence)
        changes = await publication.republish(redis_client, wanted)
        assert changes.version - before.version >= 2
        assert await inspection.read_snapshot(redis_client, snapshot.occurrence) == wanted
        counters = await inspection.read_counters(redis_client, SHARD, snapshot.occurrence)
        assert sum(counter.blocked for counter in counters) == len(aside)
        await assert_conserved(redis_client, snapshot.occurrence)
