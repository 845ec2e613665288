"""One broken occurrence never stops what is done for the others."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from engine.core.ids import new_id
from engine.core.settings import Settings
from engine.payments import make_provider
from engine.platform.http.idempotency import Idempotency
from engine.platform.valkey import keys
from engine.platform.valkey.errors import StoreUnavailableError
from engine.queue.admission.edge_reports import Pulse, report_pulse
from engine.queue.admission.leader import Admission
from engine.sale.errors import OccurrenceUnknownError
from engine.sale.inventory import inspection, publication
from engine.sale.inventory.snapshot import Room
from engine.sale.requests import HoldRequest, LineRequest
from engine.sale.service import Sale
from tests.breakages import UNREADABLE, UNSWEEPABLE
from tests.clocks import put_clock_ahead
from tests.conservation import assert_conserved
from tests.houses import small_house

SHARD = 6
HOUR_MS = 3_600_000
PULSE = Pulse(process="0" * 32)


class Row:
    """Three occurrences in the order of the list; the second is the one that breaks."""

    def __init__(self, client: Redis, settings: Settings) -> None:
        self.client = client
        self.provider = make_provider(settings)
        self.sale = Sale(settings, client, self.provider)
        self.occurrences = sorted(new_id() for _ in range(3))
        self.broken = self.occurrences[1]
        self.whole = [self.occurrences[0], self.occurrences[2]]

    async def publish(self) -> None:
        for occurrence in self.occurrences:
            room = Room(opens_at=1, rate=100, rate_ms=1_000)
            await publication.publish(self.client, small_house(occurrence, room=room), shard=SHARD)

    async def breaks(self, how: str) -> None:
        found = {**UNREADABLE, **UNSWEEPABLE}[how]
        await found(self.client, keys.prefix(SHARD, self.broken), self.broken)

    async def listed(self) -> set[str]:
        return {one.snapshot.occurrence for one in await self.sale.occurrences()}

    async def counter(self, occurrence: str) -> inspection.Counter:
        counters = await inspection.read_counters(self.client, SHARD, occurrence)
        return next(counter for counter in counters if counter.key == "quota:standing")


@pytest.fixture
async def row(redis_client: Redis, valkey_url: str) -> AsyncIterator[Row]:
    made = Row(redis_client, Settings(redis_url=f"{valkey_url}/0"))
    await made.publish()
    await made.sale.batcher.start()  # the watcher is not started: it would read meanwhile
    await made.sale.crowd.start()
    yield made
    await made.sale.stop()
    await made.provider.close()
    for occurrence in made.whole:
        await assert_conserved(redis_client, occurrence)


@pytest.mark.parametrize("how", UNREADABLE)
async def test_what_cannot_be_read_is_left_out_of_all_and_said_once(
    row: Row, how: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.sale.inventory.occurrences._AGAIN_S", 0.0)
    await row.breaks(how)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert await row.listed() == set(row.whole)
    assert [row.broken in record.message for record in caplog.records] == [True]
    assert len(row.sale.known.failing) == 1
    with pytest.raises(OccurrenceUnknownError):
        await row.sale.published(row.broken)


@pytest.mark.parametrize("how", UNREADABLE)
async def test_a_publication_is_seen_while_something_at_hand_breaks(row: Row, how: str) -> None:
    assert await row.listed() == set(row.occurrences)
    await row.breaks(how)
    new = small_house()
    await publication.publish(row.client, new, shard=SHARD)
    await row.sale.known._refresh()  # what the watcher does twice a second
    assert {*row.whole, new.occurrence} <= await row.listed()


async def test_what_is_whole_again_is_listed_again(
    row: Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = f"{keys.prefix(SHARD, row.broken)}:conf"
    kept = await row.client.dump(key) or b""
    await row.client.delete(key)
    assert await row.listed() == set(row.whole)
    monkeypatch.setattr("engine.sale.inventory.occurrences._AGAIN_S", 0.0)
    await row.client.restore(key, 0, kept)
    assert await row.listed() == set(row.occurrences)
    assert len(row.sale.known.failing) == 0


async def test_what_cannot_be_read_is_not_read_at_every_list(row: Row) -> None:
    await row.breaks("snapshot is garbage")
    await row.listed()
    await row.client.config_resetstat()
    for _ in range(20):
        await row.listed()
    assert "cmdstat_get" not in await row.client.info("commandstats")


@pytest.mark.parametrize("how", sorted({*UNREADABLE, *UNSWEEPABLE}))
@pytest.mark.parametrize("at_hand", [True, False])
async def test_holds_of_the_others_run_out(
    row: Row, how: str, at_hand: bool, caplog: pytest.LogCaptureFixture
) -> None:
    if at_hand:
        await row.listed()
    for occurrence in row.whole:
        await _hold(row, occurrence)
        await put_clock_ahead(row.client, keys.prefix(SHARD, occurrence), HOUR_MS)
    await row.breaks(how)
    for _ in range(3):
        await row.sale.expiry.run_once()
    assert [(await row.counter(occurrence)).held for occurrence in row.whole] == [0, 0]
    said = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len([record for record in said if "left out" in record.message]) <= 1


@pytest.mark.parametrize("how", [*sorted({*UNREADABLE, *UNSWEEPABLE}), "money is of another type"])
async def test_the_others_money_is_looked_after(row: Row, how: str) -> None:
    await row.listed()
    order = new_id()
    for occurrence in row.whole:
        await row.client.zadd(f"{keys.prefix(SHARD, occurrence)}:money", {order: 1})
    if how == "money is of another type":
        await row.client.set(f"{keys.prefix(SHARD, row.broken)}:money", "x")
    else:
        await row.breaks(how)
    await row.sale.money.run_once()
    for occurrence in row.whole:
        due = await row.client.zscore(f"{keys.prefix(SHARD, occurrence)}:money", order)
        assert due is None or due > 1, "it was not looked at"
        await row.client.delete(f"{keys.prefix(SHARD, occurrence)}:money")


@pytest.mark.parametrize("how", sorted({*UNREADABLE, *UNSWEEPABLE}))
async def test_the_others_lines_are_called(row: Row, how: str) -> None:
    await row.listed()
    for occurrence in row.whole:
        await row.sale.waiting.join(new_id(), occurrence)
    await row.breaks(how)
    admission = Admission(row.sale, row.client)
    for ahead in range(1, 15):
        for occurrence in row.whole:
            await put_clock_ahead(row.client, keys.prefix(SHARD, occurrence), ahead * 1000)
        await report_pulse(row.client, PULSE)
        await admission.run_once()
    for occurrence in row.whole:
        state = await row.sale.waiting.boards.get(occurrence, newest=True)
        assert state.queue.served == 1
    await admission.stop()


async def test_a_store_that_is_away_is_an_error_of_the_round(row: Row) -> None:
    await row.listed()
    await row.sale.batcher.stop()
    row.sale.batcher._lanes[0]._options["port"] = 1
    row.sale.batcher._lanes[1]._options["port"] = 1
    await row.sale.batcher.start()
    with pytest.raises(StoreUnavailableError):
        await row.sale.expiry.run_once()


async def _hold(row: Row, occurrence: str) -> None:
    buyer = new_id()
    place = keys.prefix(SHARD, occurrence)
    await row.sale.commands.queue_command(place, "tests", "off", {})
    await row.sale.published(occurrence)
    await row.sale.holds.acquire(
        buyer,
        occurrence,
        HoldRequest(lines=[LineRequest(ticket_type="standing", quantity=2)]),
        Idempotency(key_digest=bytes.fromhex(new_id()), body_digest=b"b" * 16),
    )
