"""Every script, given nonsense, answers INVALID and changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from engine.core.ids import new_id
from engine.platform.valkey import scripts
from engine.platform.valkey.codes import Code
from engine.platform.valkey.connections import run_one
from engine.platform.valkey.packing import pack
from tests.store.conftest import House

ID = "0" * 32
KEY = b"k" * 16
LINE = [3, 1, False, False]
NOT_IDS: list[Any] = ["", "x" * 32, ID.upper().replace("0", "A"), 7, None, [], ID + "0"]
NOT_COUNTS: list[Any] = [0, -1, 1.5, 1001, "1", None, 1e300]
DETAILS = {"currency": "EUR"}

TEXTS: list[Any] = ["", "short", 5, None]
NOT_ABOVE_0: list[Any] = [0, -1, 0.5, "1", None]
NOT_WHOLE: list[Any] = [None, "0", []]
NOT_OVER: list[Any] = [None, "0", 0.5, True]
NOT_PLACES: list[Any] = [7, None, "x", ["x"], [-1], [0.5], [0] * 1001]
NOT_BUDGETS: list[Any] = [7, None, [7], [[]], [[b"short", 1, 1]]]
NOT_HOLD_BUDGETS: list[Any] = [7, "", "short", b"x" * 11, b"x" * 13, b"x" * 21, [], True]
NOT_NUMBERS: list[Any] = [-1, 0.5, "1", None, 1e13]
NOT_INDEXES: list[Any] = [-1, 0.5, "0", None, 1e9]
WRONG_AMOUNTS: list[Any] = [0, -1, 1.5, "1", None]
NOT_LINES: list[Any] = [[], 3, None, "lines", [3], [[]], [LINE] * 41]
NOT_SEATS: list[Any] = [[0], [0, 0, 0], [-1, 0], ["0", 0]]
NOT_SAID: list[Any] = [
    *[
        {name: bad}
        for name in ("refunded", "refunding", "withdrawn", "failed")
        for bad in (-1, 0.5, "1")
    ],
    *[{name: 7} for name in ("currency", "dispute", "failure", "refund_id")],
    {"dispute": "unheard of"},
    {"failure": "x" * 256},
    {"refunded": 1e13},
]

CASES: dict[str, list[list[Any]]] = {
    "hold_acquire": [
        *[[bad, ID, KEY, KEY, [LINE]] for bad in NOT_IDS],
        *[[ID, bad, KEY, KEY, [LINE]] for bad in NOT_IDS],
        *[[ID, ID, bad, KEY, [LINE]] for bad in TEXTS],
        *[[ID, ID, KEY, bad, [LINE]] for bad in TEXTS],
        *[[ID, ID, KEY, KEY, bad] for bad in NOT_LINES],
        *[[ID, ID, KEY, KEY, [[3, bad, False, False]]] for bad in NOT_COUNTS],
        *[[ID, ID, KEY, KEY, [[bad, 1, False, False]]] for bad in NOT_INDEXES],
        *[[ID, ID, KEY, KEY, [[0, 1, bad, False]]] for bad in NOT_SEATS],
        *[[ID, ID, KEY, KEY, [LINE], bad] for bad in NOT_HOLD_BUDGETS],
        [],
    ],
    "hold_change": [
        *[[bad, ID, "", KEY, [LINE], []] for bad in NOT_IDS],
        [ID, ID, "short", KEY, [LINE], []],
        [ID, ID, "", KEY, 7, []],
        [ID, ID, "", KEY, [], [[3, -1, False]]],
        [],
    ],
    "hold_extend": [[bad, ID, KEY, KEY] for bad in NOT_IDS] + [[ID, ID, "", KEY], []],
    "hold_release": [[bad, ID] for bad in NOT_IDS] + [[ID, bad] for bad in NOT_IDS],
    "read": [["x", ID, ""], ["h", "short", ""], ["o", ID, "short"], []],
    "sweep": [[0, 1000], [201, 1000], [10, 0], [1.5, 10], ["1", 1], []],
    "order_place": [
        [ID, ID, 1, ID, KEY, KEY, {}],
        [ID, ID, 1, ID, KEY, KEY, None],
        [ID, ID, 1, ID, KEY, KEY, DETAILS],
        [ID, ID, 0, ID, KEY, KEY, DETAILS],
        [],
    ],
    "order_attach": [[bad, "pi_1"] for bad in NOT_IDS] + [[ID, ""], [ID, "x" * 256], [ID, 7]],
    "order_confirm": [[bad, "pi_1", 1] for bad in NOT_IDS]
    + [[ID, "pi_1", bad] for bad in WRONG_AMOUNTS]
    + [[ID, "", 1]]
    + [[ID, "pi_1", 1, bad] for bad in [7, "x", *NOT_SAID]]
    + [[ID, "pi_1", 1, {}, bad] for bad in [0, -1, 0.5, "1"]],
    "order_ask": [[bad, ID] for bad in NOT_IDS] + [[ID, bad] for bad in NOT_IDS],
    "order_postpone": [
        *[[bad, 1, 1] for bad in NOT_IDS],
        *[[ID, bad, 1] for bad in NOT_ABOVE_0],
        *[[ID, 1, bad] for bad in NOT_ABOVE_0],
    ],
    "order_cancel": [[bad, "buyer", 1] for bad in NOT_IDS] + [[ID, "x" * 65, 1], [ID, "x", 0]],
    "order_release": [[bad, ""] for bad in NOT_IDS] + [[ID, 5]],
    "order_return": [[bad, "asked"] for bad in NOT_IDS] + [[ID, None]],
    "order_refund": [[bad, "pi_1", "again", ""] for bad in NOT_IDS]
    + [[ID, 7, "again", ""], [ID, "pi_1", "never", "x"], [ID, "pi_1", None, "x"]]
    + [
        [ID, "pi_1", step, bad]
        for step in ("refused", "elsewhere")
        for bad in ["", None, "x" * 256]
    ],
    "money_due": [[0, 1000], [201, 1000], [10, 0], [1.5, 10], ["1", 1], []],
    "seats_block": [[5], ["x"], [[0]], [[-1, 0]], [[0, 0] * 10_001], []],
    "queue_join": [
        *[[bad, KEY, [], False] for bad in NOT_IDS],
        *[[ID, bad, [], False] for bad in [*TEXTS, bytes(16)]],
        *[[ID, KEY, bad, False] for bad in NOT_BUDGETS],
        *[[ID, KEY, [[b"8 bytes.", bad, 1]], False] for bad in NOT_ABOVE_0],
        *[[ID, KEY, [[b"8 bytes.", 1, bad]], False] for bad in NOT_ABOVE_0],
        [ID, KEY, [[b"8 bytes.", 1, 1]] * 5, False],
        *[[ID, KEY, [], bad] for bad in NOT_OVER],
        [],
    ],
    "queue_look": [*[[bad, 0] for bad in NOT_IDS], *[[ID, bad] for bad in NOT_NUMBERS], []],
    "queue_enter": [
        *[[bad, 0, 1] for bad in NOT_IDS],
        *[[ID, bad, 1] for bad in NOT_WHOLE],
        *[[ID, 0, bad] for bad in [*NOT_NUMBERS, 0]],
        [],
    ],
    "queue_leave": [
        *[[bad, 0, 0] for bad in NOT_IDS],
        *[[ID, bad, 0] for bad in NOT_WHOLE],
        *[[ID, 0, bad] for bad in NOT_NUMBERS],
        [],
    ],
    "queue_call": [
        *[[bad, 0, [], 1, 1] for bad in NOT_ABOVE_0],
        *[[1, bad, [], 1, 1] for bad in NOT_NUMBERS],
        *[[1, 0, bad, 1, 1] for bad in NOT_PLACES],
        *[[1, 0, [], bad, 1] for bad in [*NOT_NUMBERS, 201]],
        *[[1, 0, [], 1, bad] for bad in NOT_NUMBERS],
        [],
    ],
    "queue_draw": [*[[bad, 0] for bad in TEXTS], *[["0" * 64, bad] for bad in NOT_NUMBERS], []],
    "queue_command": [
        *[[bad, "open", {}] for bad in ["", "x" * 101, 7, None]],
        *[["ada", bad, {}] for bad in ["", "explode", 7, None]],
        *[["ada", "set", bad] for bad in [7, None, "x"]],
        *[["ada", "set", {"rate": bad}] for bad in [*NOT_ABOVE_0, 1e7]],
        *[["ada", "set", {bad: 1}] for bad in ["served", "inside", "count", "x"]],
        ["ada", "open", {"rate": 1}],
        [],
    ],
    "sale_pause": [[bad] for bad in ["", "x" * 101, 7, None]],
    "sale_resume": [[bad] for bad in ["", "x" * 101, 7, None]],
    "seats_unblock": [[5], ["x"], [[0]], [[0, 0.5]], []],
}
WITHOUT_INPUT = {"queue_open"}
OF_THE_PUBLISHER = {
    "publish",
    "republish",
}  # their input is made by engine.sale.inventory.layout alone


def test_no_command_is_forgotten() -> None:
    # which are tested beside their bindings
    elsewhere = {"ticket_use", "lease_take", "lease_release", "edge_report", "budget_take"}
    assert set(CASES) == set(scripts.SCRIPTS) - elsewhere - WITHOUT_INPUT - OF_THE_PUBLISHER


@pytest.mark.parametrize("name", CASES)
async def test_malformed_input_is_refused(house: House, redis_client: Redis, name: str) -> None:
    before = await _dump(redis_client)
    for case in CASES[name]:
        answer = await run_one(redis_client, name, house.place, case)
        assert answer == [Code.INVALID], case
    assert await _dump(redis_client) == before


@pytest.mark.parametrize("name", [*CASES, *WITHOUT_INPUT])
async def test_an_occurrence_that_is_not_published_is_refused(
    redis_client: Redis, name: str
) -> None:
    place = "{s07}:" + new_id()
    case = CASES[name][0] if name in CASES else [0]
    assert await run_one(redis_client, name, place, case) == [Code.NOT_PUBLISHED]
    assert await redis_client.dbsize() == 0


async def test_seats_that_are_none_are_named(house: House) -> None:
    for seats in ([0, 6], [9, 0], [0, 20], [65535, 65535]):
        answer = await house.acquire([0, 1, seats, False])
        assert answer == [Code.LINES, [[0, 24, seats]]]


async def test_a_batch_is_bounded(house: House, redis_client: Redis) -> None:
    from redis.exceptions import ResponseError

    requests = pack([["h", ID, ""]] * 1001)
    with pytest.raises(ResponseError, match="at most 1000"):
        await redis_client.eval(scripts.SCRIPTS["read"].text, 1, house.place, requests)


def test_no_script_scans_keys() -> None:
    for path in Path("lua").rglob("*.lua"):
        text = path.read_text()
        assert "'KEYS'" not in text
        assert "'SCAN'" not in text


async def _dump(client: Redis) -> dict[bytes, bytes | None]:
    names = sorted([key async for key in client.scan_iter()])
    return {name: await client.dump(name) for name in names}
