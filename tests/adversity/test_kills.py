"""Kill -9 of anything under load: what was acknowledged is there, and the audit is clean."""

from __future__ import annotations

import asyncio
import json
import random

import asyncpg
import pytest

from devkit.processes import Process
from engine.sale.inventory.snapshot import Snapshot
from tests.adversity.stand import Crowd, Stand


def rush(number: int) -> dict[str, object]:
    """What the number-th buyer wants: standing places, best available, of several types."""
    kinds = ("standing", "lower-side", "lower-end", "middle-side")
    return {"ticket_type": kinds[number % 4], "quantity": 1 + number % 2}


async def assert_nothing_lost(stand: Stand, snapshot: Snapshot, crowd: Crowd) -> None:
    """Every acknowledgement is true: in Redis, in PostgreSQL and at the provider."""
    orders = await crowd.settled()
    for order in crowd.log.paid:
        assert orders[order]["state"] == "confirmed", orders[order]
    await stand.written()
    await stand.conserved(snapshot)
    connection = await asyncpg.connect(stand.settings.database_url)
    try:
        rows = await connection.fetch(
            "SELECT id, state FROM orders WHERE occurrence_id = $1", snapshot.occurrence
        )
        doubles = await connection.fetchval(
            "SELECT count(*) FROM (SELECT seat_guid FROM tickets WHERE status = 'valid' AND"
            " seat_guid IS NOT NULL GROUP BY occurrence_id, seat_guid HAVING count(*) > 1) AS t"
        )
    finally:
        await connection.close()
    assert {row["id"].hex: row["state"] for row in rows} == {
        order: view["state"] for order, view in orders.items()
    }
    assert doubles == 0
    done = await asyncio.to_thread(stand.audit, snapshot.occurrence)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert json.loads(done.stdout)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1, 2])
async def test_whatever_is_killed_nothing_acknowledged_is_lost(
    stand: Stand, snapshot: Snapshot, crowd: Crowd, seed: int
) -> None:
    dice = random.Random(seed)  # noqa: S311 - a test's dice
    victims: list[Process] = [stand.valkey, stand.postgres, *stand.workers, *stand.apis] * 2
    dice.shuffle(victims)

    async def kill() -> None:
        for victim in victims:
            await asyncio.sleep(dice.random() * 0.3)
            await stand.revive(victim)

    killer = asyncio.create_task(kill())
    rounds = 0
    while not killer.done() or rounds < 1:
        await crowd.run(rush, 60, 12)
        rounds += 1
    await killer
    assert crowd.log.paid
    assert crowd.log.retried
    await assert_nothing_lost(stand, snapshot, crowd)


@pytest.mark.timeout(300)
async def test_postgresql_is_away_for_a_minute_and_selling_goes_on(
    stand: Stand, snapshot: Snapshot, crowd: Crowd
) -> None:
    await crowd.run(rush, 40, 8)
    before = len(crowd.log.paid)
    await asyncio.to_thread(stand.postgres.kill)
    away = asyncio.create_task(asyncio.sleep(60))
    await crowd.run(rush, 120, 8)
    assert len(crowd.log.paid) > before
    orders = await crowd.settled()
    assert {orders[order]["state"] for order in crowd.log.paid} == {"confirmed"}
    status, ready = await crowd.request("GET", f"{stand.url}/health/ready")
    assert status == 200
    await away
    status, ready = await crowd.request("GET", f"{stand.url}/health/ready")
    assert (status, ready["postgres"]) == (200, "down")
    await asyncio.to_thread(stand.postgres.start)
    await assert_nothing_lost(stand, snapshot, crowd)


async def test_a_script_flush_in_mid_sale_is_not_noticed(
    stand: Stand, snapshot: Snapshot, crowd: Crowd
) -> None:
    async def flush() -> None:
        async with stand.client() as client:
            for _ in range(20):
                await client.script_flush()
                await asyncio.sleep(0.05)

    flusher = asyncio.create_task(flush())
    await crowd.run(rush, 80, 8)
    await flusher
    assert crowd.log.retried == []
    await assert_nothing_lost(stand, snapshot, crowd)
