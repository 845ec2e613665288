"""Kill -9 of anything while people stand in line: places are kept, and nobody comes in twice."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import asyncpg
import msgspec
import pytest

from engine.audit.fairness import Fairness, read_fairness
from engine.core.tasks import end
from engine.queue import store as waiting
from engine.sale.inventory import inspection, publication
from engine.sale.inventory.snapshot import Room, Snapshot
from tests.adversity.stand import Crowd, Stand
from tests.adversity.test_kills import assert_nothing_lost, rush

CAP = 12
OVER = {"done", "expired", "closed"}


async def put_room(stand: Stand, snapshot: Snapshot, **room: int) -> None:
    """Put a room in front of the sale; it opens soon, and moves fast."""
    values: dict[str, int] = {
        "opens_at": time.time_ns() // 1_000_000 + 4_000,
        "rate": 60,
        "rate_ms": 1_000,
        "cap": CAP,
        "claim_ms": 6_000,
        "shop_ms": 6_000,  # some go away with seats in their carts, and some without
        **room,
    }
    async with stand.client() as client:
        await publication.republish(
            client,
            msgspec.structs.replace(
                snapshot,
                room=Room(**values),  # type: ignore[arg-type]  # all are int
                hold_ttl_ms=6_000,
                hold_ttl_ms_max=6_000,
            ),
        )


class Queuer:
    """Stands in line with the patience of the crowd; ``numbers``: all that it was ever told."""

    def __init__(self, crowd: Crowd, url: str, dice: random.Random) -> None:
        self.crowd = crowd
        self.url = url
        self.dice = dice
        self.numbers: set[int] = set()
        self.comes = dice.random() > 0.1
        self.inside = False
        self.buyer = ""

    async def ask(self, method: str, path: str = "") -> tuple[int, Any]:
        status, answer = await self.crowd.request(method, self.url + path, buyer=self.buyer)
        if status == 200 and answer["number"] is not None:
            self.numbers.add(answer["number"])
        return status, answer

    async def join(self) -> None:
        self.buyer = await self.crowd.guest()
        status, answer = await self.ask("POST")
        assert status == 200, answer

    async def wait(self) -> None:
        """Wait until called, and come in; or do not come."""
        while True:
            status, answer = await self.ask("GET")
            assert status == 200, answer
            if answer["state"] in OVER:
                return
            if answer["state"] in {"called", "inside"} and self.comes:
                status, answer = await self.ask("POST", "/enter")
                assert status == 200 or answer["code"] == "place_expired", answer
                self.inside = status == 200
                return
            await asyncio.sleep(0.1 + self.dice.random() * 0.2)


async def quiet(stand: Stand, snapshot: Snapshot) -> None:
    """Wait until every pass and hold of those who went away has run out."""
    async with stand.client() as client, asyncio.timeout(60):
        shard = await inspection.shard_of(client, snapshot.occurrence)
        while True:
            found = await inspection.read_deadlines(client, shard, snapshot.occurrence)
            if not any(member[0] in "hp" for member in found):
                return
            await asyncio.sleep(0.1)


async def fairness_of(stand: Stand, snapshot: Snapshot) -> Fairness:
    connection = await asyncpg.connect(stand.settings.database_url)
    try:
        return await read_fairness(connection, snapshot.occurrence)
    finally:
        await connection.close()


@asynccontextmanager
async def never_above_the_cap(stand: Stand, snapshot: Snapshot) -> AsyncIterator[list[int]]:
    """Look all the time how many are inside or may come in."""
    seen: list[int] = []

    async def look() -> None:
        async with stand.client() as client:
            shard = await inspection.shard_of(client, snapshot.occurrence)
            while True:
                with suppress(Exception):  # the store is being killed just now
                    state = await waiting.read_queue(client, shard, snapshot.occurrence)
                    seen.append(state.queue.inside + state.called)
                await asyncio.sleep(0.02)

    task = asyncio.create_task(look())
    yield seen
    await end(task)
    assert seen
    assert max(seen) <= CAP


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1, 2])
async def test_whatever_is_killed_places_are_kept_and_nobody_comes_in_twice(
    stand: Stand, snapshot: Snapshot, crowd: Crowd, seed: int
) -> None:
    dice = random.Random(seed)  # noqa: S311 - a test's dice
    await put_room(stand, snapshot)
    url = f"{stand.url}/v1/occurrences/{snapshot.occurrence}/queue"
    people = [Queuer(crowd, url, dice) for _ in range(90)]
    victims = [stand.valkey, *stand.workers, *stand.apis] * 2
    dice.shuffle(victims)

    async def kill() -> None:
        for victim in victims:
            await asyncio.sleep(dice.random())
            await stand.revive(victim)

    async def live(number: int, person: Queuer) -> None:
        await person.join()
        await person.wait()
        if person.inside:
            await crowd.buy(rush(number), person.buyer)

    async with never_above_the_cap(stand, snapshot):
        killer = asyncio.create_task(kill())
        await asyncio.gather(*(live(number, person) for number, person in enumerate(people)))
        await killer
    assert all(len(person.numbers) == 1 for person in people)
    assert len({number for person in people for number in person.numbers}) == len(people)
    assert sum(person.inside for person in people) > len(people) / 2
    await quiet(stand, snapshot)
    await assert_nothing_lost(stand, snapshot, crowd)
    fair = await fairness_of(stand, snapshot)
    assert (fair.inversions, fair.findings) == (0, ())
    assert fair.called >= len(people)
    assert fair.entered >= sum(person.inside for person in people)


async def watch(session: aiohttp.ClientSession, person: Queuer, until: asyncio.Event) -> int:
    """Keep a live connection, a new one whenever it breaks; returns how often it was made."""
    made = 0
    while not until.is_set():
        status, ticket = await person.crowd.request(
            "POST", f"{person.url}/ticket", buyer=person.buyer
        )
        assert status == 200, ticket
        with suppress(aiohttp.ClientError, TimeoutError):
            async with session.ws_connect(
                f"{person.url}/live", params={"ticket": ticket["ticket"]}
            ) as socket:
                made += 1
                async for message in socket:
                    found = msgspec.json.decode(message.data)
                    if found["kind"] == "you" and found["number"] is not None:
                        person.numbers.add(found["number"])
                        break
                stopped = asyncio.create_task(until.wait())
                read = asyncio.create_task(socket.receive())
                while not stopped.done() and not socket.closed:
                    await asyncio.wait({stopped, read}, return_when=asyncio.FIRST_COMPLETED)
                    if read.done():
                        if read.result().type != aiohttp.WSMsgType.TEXT:
                            break
                        read = asyncio.create_task(socket.receive())
                await end(stopped)
                await end(read)
    return made


@pytest.mark.timeout(300)
async def test_a_storm_of_reconnections_loses_no_place(
    stand: Stand, snapshot: Snapshot, crowd: Crowd
) -> None:
    dice = random.Random(3)  # noqa: S311 - a test's dice
    await put_room(stand, snapshot, opens_at=0, rate=1, rate_ms=60_000)  # nobody moves meanwhile
    url = f"{stand.url}/v1/occurrences/{snapshot.occurrence}/queue"
    people = [Queuer(crowd, url, dice) for _ in range(120)]
    for person in people:
        await person.join()
    until = asyncio.Event()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        watchers = [asyncio.create_task(watch(session, person, until)) for person in people]
        for api in stand.apis * 2:
            await asyncio.sleep(0.5)
            await stand.revive(api)
        await asyncio.sleep(1)
        until.set()
        made = await asyncio.gather(*watchers)
    assert sum(made) >= 2 * len(people)  # each of them was cut off, or nearly
    for person in people:
        status, answer = await person.ask("GET")
        assert status == 200, answer
    assert all(len(person.numbers) == 1 for person in people)
    assert len({number for person in people for number in person.numbers}) == len(people)
