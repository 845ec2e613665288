"""What serving processes say of themselves, and for how long."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis

from engine.core.errors import InvalidRequestError
from engine.core.ids import new_id
from engine.platform.valkey.codes import Code
from engine.platform.valkey.connections import run_one
from engine.platform.valkey.packing import pack, unpack
from engine.queue.admission import edge_reports as edge_pulse
from engine.queue.admission.edge_reports import Pulse, read_pulses, report_pulse

ONE = "1" * 32
SEEN, SAID = "{onsale:edge}:seen", "{onsale:edge}:said"


async def grow_old(client: Redis, process: str) -> None:
    """Let a process have fallen silent long ago."""
    packed: Any = await client.hget(SAID, process)
    await client.hset(SAID, process, pack([1, *unpack(packed)[1:]]))
    await client.zadd(SEEN, {process: 1})


async def test_what_is_told_is_read(redis_client: Redis) -> None:
    pulse = Pulse(
        process=ONE, hold_us=2_500, checkout_us=500_000, lag_us=40, payments=9, failures=2
    )
    assert await report_pulse(redis_client, pulse) == 1
    assert await read_pulses(redis_client) == [pulse]


async def test_a_process_has_one_pulse_its_last(redis_client: Redis) -> None:
    await report_pulse(redis_client, Pulse(process=ONE, hold_us=1))
    assert await report_pulse(redis_client, Pulse(process=ONE, hold_us=2)) == 1
    assert [pulse.hold_us for pulse in await read_pulses(redis_client)] == [2]
    assert await report_pulse(redis_client, Pulse(process=new_id())) == 2


async def test_nobody_has_told_anything(redis_client: Redis) -> None:
    assert await read_pulses(redis_client) == []


async def test_one_that_fell_silent_is_not_read_and_then_forgotten(redis_client: Redis) -> None:
    await report_pulse(redis_client, Pulse(process=ONE))
    await grow_old(redis_client, ONE)
    assert await read_pulses(redis_client) == []
    other = Pulse(process=new_id())
    assert await report_pulse(redis_client, other) == 1
    assert await redis_client.hlen(SAID) == 1
    assert await redis_client.zcard(SEEN) == 1
    assert await read_pulses(redis_client) == [other]


async def test_when_all_are_silent_nothing_stays(redis_client: Redis) -> None:
    await report_pulse(redis_client, Pulse(process=ONE))
    for key in (SEEN, SAID):
        assert 0 < await redis_client.pttl(key) <= edge_pulse.SILENT_MS


async def test_only_so_many_are_kept(
    redis_client: Redis,
) -> None:
    for _ in range(edge_pulse.PROCESSES_MAX // 500 + 1):
        requests = pack([[new_id(), 0, 0, 0, 0, 0] for _ in range(500)])
        await edge_report(redis_client, requests)
    assert await redis_client.hlen(SAID) == edge_pulse.PROCESSES_MAX
    assert await redis_client.zcard(SEEN) == edge_pulse.PROCESSES_MAX
    assert len(await read_pulses(redis_client)) == edge_pulse.PROCESSES_MAX


async def edge_report(client: Redis, requests: bytes) -> None:
    from engine.platform.valkey.connections import run_script

    answers = await run_script(client, "edge_report", "{onsale:edge}", requests)
    assert {answer[0] for answer in answers} == {Code.OK}


@pytest.mark.parametrize(
    "request_",
    [
        [],
        ["", 1, 1, 1, 1, 1],
        ["x" * 32, 1, 1, 1, 1, 1],
        [7, 1, 1, 1, 1, 1],
        [ONE, 1, 1, 1, 1],
        [ONE, 1, 1, 1, 1, 1, 1],
        *([ONE, *[1] * place, bad, *[1] * (4 - place)] for place in range(5) for bad in (-1, 0.5)),
        [ONE, "1", 1, 1, 1, 1],
        [ONE, 1, None, 1, 1, 1],
        [ONE, 1, 1, 1, 1, 1e300],
    ],
    ids=str,
)
async def test_malformed_requests_do_nothing(redis_client: Redis, request_: list[Any]) -> None:
    answer = await run_one(redis_client, "edge_report", "{onsale:edge}", request_)
    assert answer == [Code.INVALID]
    assert await redis_client.dbsize() == 0


async def test_the_binding_cuts_what_is_too_large_and_refuses_what_is_nobodys(
    redis_client: Redis,
) -> None:
    await report_pulse(redis_client, Pulse(process=ONE, lag_us=10**12))
    assert (await read_pulses(redis_client))[0].lag_us == edge_pulse.VALUE_MAX
    with pytest.raises(InvalidRequestError):
        await report_pulse(redis_client, Pulse(process="nobody"))
