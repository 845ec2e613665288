"""``onsale queue``: operators see a line and steer it."""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import Any

import pytest
from click.testing import CliRunner, Result
from redis.asyncio import Redis

from engine.app.cli import main
from engine.core.ids import new_id
from engine.platform.valkey import keys
from engine.platform.valkey.connections import connect, run_one
from engine.platform.valkey.packing import unpack
from engine.queue.draw import numbers as draw
from engine.queue.operating import STEPS
from engine.sale.inventory.publication import publish
from engine.sale.inventory.snapshot import Room
from tests.houses import small_house

SHARD = 5


@pytest.fixture
def occurrence(valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A published line that opens in an hour."""
    monkeypatch.setenv("REDIS_URL", f"{valkey_url}/0")
    opens_at = time.time_ns() // 1_000_000 + 3_600_000
    snapshot = small_house(room=Room(opens_at=opens_at))

    async def prepare() -> None:
        async with Redis.from_url(f"{valkey_url}/0") as client:
            await client.flushall()
            await publish(client, snapshot, shard=SHARD)

    asyncio.run(prepare())
    return snapshot.occurrence


def onsale(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["queue", *map(str, arguments)])


def figures(result: Result) -> dict[str, str]:
    assert result.exit_code == 0, result.output
    return dict(re.split(r" {2,}", line) for line in result.output.splitlines())


def records(valkey_url: str) -> list[dict[bytes, object]]:
    async def read() -> list[dict[bytes, object]]:
        async with Redis.from_url(f"{valkey_url}/0") as client:
            entries: Any = await client.xrange(keys.stream(SHARD))
            return [unpack(fields[b"q"]) for _, fields in entries]

    return asyncio.run(read())


def test_all_figures_are_shown(occurrence: str) -> None:
    shown = figures(onsale("show", occurrence))
    assert shown["occurrence"] == occurrence
    assert (shown["phase"], shown["on"], shown["paused"]) == ("planned", "yes", "no")
    assert (shown["rate"], shown["cap"]) == ("50 every 5 s", "500")
    assert shown["drawn"] == "-"


def test_figures_can_be_had_as_json(occurrence: str) -> None:
    result = onsale("show", occurrence, "--json")
    assert json.loads(result.output)["occurrence"] == occurrence


def test_every_step_can_be_taken_and_is_recorded(occurrence: str, valkey_url: str) -> None:
    seen = {
        step: figures(onsale(step, occurrence, "--actor", "ada"))
        for step in ("pause", "resume", "drain", "open", "close", "off", "on")
    }
    assert set(seen) == set(STEPS)
    assert [seen[step]["paused"] for step in ("pause", "resume")] == ["yes", "no"]
    phases = [seen[step]["phase"] for step in ("drain", "open", "close")]
    assert phases == ["draining", "open", "closed"]
    assert [seen[step]["on"] for step in ("off", "on")] == ["no", "yes"]
    commands = [record for record in records(valkey_url) if b"command" in record]
    assert [record[b"command"] for record in commands] == [step.encode() for step in seen]
    assert {record[b"actor"] for record in commands} == {b"ada"}


def test_rate_and_cap_can_be_set(occurrence: str, valkey_url: str) -> None:
    shown = figures(onsale("set", occurrence, "--rate", 7, "--cap", 9, "--shop-ms", 1000))
    assert (shown["rate"], shown["cap"], shown["shop"]) == ("7 every 5 s", "9", "1 s")
    (record,) = records(valkey_url)
    assert record[b"actor"] == b"cli"


def test_nothing_to_set_is_a_mistake_of_use(occurrence: str) -> None:
    assert onsale("set", occurrence).exit_code == 2
    assert onsale("set", occurrence, "--rate", 0).exit_code == 2


def test_what_cannot_be_done_is_one_sentence(occurrence: str) -> None:
    onsale("off", occurrence)
    result = onsale("drain", occurrence)
    assert result.exit_code == 2
    assert result.output == "Error: The waiting room is off: switch it on first\n"
    unknown = onsale("show", new_id())
    assert (unknown.exit_code, unknown.output) == (2, "Error: This occurrence is not published\n")


def test_who_is_left_can_only_be_told_after_the_draw(occurrence: str) -> None:
    result = onsale("left", occurrence)
    assert result.exit_code == 2
    assert "has not been drawn yet" in result.output


def test_who_is_left_is_listed_in_order(occurrence: str, valkey_url: str) -> None:
    buyers = [new_id() for _ in range(3)]
    place = keys.prefix(SHARD, occurrence)

    async def line_up() -> None:
        async with connect(f"{valkey_url}/0") as client:
            assert (await run_one(client, "queue_command", place, ["ada", "open", {}]))[0] == 0
            assert (await run_one(client, "queue_draw", place, ["0" * 64, 0]))[0] == 0
            for buyer in buyers:
                request = [buyer, draw.leaf(occurrence, buyer), [], False]
                assert (await run_one(client, "queue_join", place, request))[0] == 0

    asyncio.run(line_up())
    result = onsale("left", occurrence)
    assert result.exit_code == 0, result.output
    lines = [line.split("\t") for line in result.output.splitlines()]
    assert lines == [[str(number), buyer] for number, buyer in enumerate(buyers, 1)]
