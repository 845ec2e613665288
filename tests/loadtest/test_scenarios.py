"""Every scenario against a real installation, small; and what is broken is found."""

from __future__ import annotations

import time
from pathlib import Path
from uuid import UUID

import asyncpg
import msgspec
import pytest
from blockbuster import BlockBuster
from redis.asyncio import Redis

from devkit.demo.crowd import known
from devkit.demo.stage import Pace, publish_another
from engine.core.ids import new_id
from engine.core.settings import Settings
from engine.platform.valkey import keys
from engine.platform.valkey.codes import Code
from engine.platform.valkey.connections import get, run_script
from engine.platform.valkey.packing import pack, unpack
from engine.sale.inventory import inspection
from loadtest.books import read_books
from loadtest.scenarios import SCENARIOS, Scenario, play, send

EVENT = Path(__file__).with_name("tiny.yaml")
PACE = Pace(opens_in_ms=2_500, rate=40, cap=8, claim_ms=2_000, shop_ms=5_000)


def small(name: str) -> Scenario:
    return msgspec.structs.replace(SCENARIOS[name], count=12, rate=12, seconds=7, pace=PACE)


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name != "spike"])
async def test_a_scenario_breaks_no_promise(
    name: str, playing: Settings, tmp_path: Path, blockbuster: BlockBuster
) -> None:
    blockbuster.deactivate()  # nobody is served here
    log = tmp_path / "locust.log"
    outcome = await play(name, small(name), playing, event=EVENT, log=log)
    assert outcome.exit_code == 0, f"{outcome.books.wrong}\n{log.read_text()}"
    assert outcome.books.places > 0
    assert outcome.books.inversions == outcome.books.strangers == 0


async def test_a_spike_breaks_no_promise_and_a_broken_one_is_told(
    playing: Settings, redis_client: Redis, tmp_path: Path, blockbuster: BlockBuster
) -> None:
    blockbuster.deactivate()  # nobody is served here
    log = tmp_path / "locust.log"
    outcome = await play("spike", small("spike"), playing, event=EVENT, log=log)
    assert outcome.exit_code == 0, f"{outcome.books.wrong}\n{log.read_text()}"
    books, occurrence = outcome.books, outcome.occurrence
    assert books.orders > 0
    assert books.entered >= books.orders
    assert 0 < books.inside_most <= books.cap == PACE.cap

    place = keys.prefix(await inspection.shard_of(redis_client, occurrence), occurrence)
    await redis_client.hset(f"{place}:places", new_id(), "7")
    queue = unpack(await get(redis_client, f"{place}:queue") or b"")
    await redis_client.set(f"{place}:queue", pack({**queue, b"cap": books.inside_most - 1}))
    connection = await asyncpg.connect(playing.database_url)
    try:
        await connection.execute(
            "DELETE FROM queue_events WHERE kind = 'queue.entered'"
            " AND buyer = (SELECT min(buyer) FROM orders WHERE occurrence_id = $1)",
            UUID(occurrence),
        )
        await connection.execute(
            "INSERT INTO queue_events (occurrence_id, entry, kind, happened_at, number, buyer,"
            " detail) VALUES ($1, $2, 'queue.entered', now(), 999999, $3, '{}')",
            UUID(occurrence),
            f"{time.time_ns() // 1_000_000}-0",
            new_id(),
        )
    finally:
        await connection.close()
    told = "\n".join((await read_books(playing, occurrence)).wrong)
    assert "inversion" in told
    assert "buyers have one" in told
    assert f"{books.cap} may be" not in told
    assert f"{books.inside_most - 1} may be" in told
    assert "1 orders are of buyers who never went in" in told


async def test_an_open_door_fails_the_run(
    playing: Settings, redis_client: Redis, tmp_path: Path, blockbuster: BlockBuster
) -> None:
    blockbuster.deactivate()  # nobody is served here
    published = await publish_another(playing, EVENT, PACE)
    place = keys.prefix(published.shard, published.occurrence)
    await known(playing.public_url, published.occurrence)
    (answer,) = await run_script(redis_client, "queue_command", place, pack([["tests", "off", {}]]))
    assert answer[0] == Code.OK
    log = tmp_path / "locust.log"
    assert await send(small("bypass"), playing, published.occurrence, log)
    assert "it was granted" in log.read_text()
