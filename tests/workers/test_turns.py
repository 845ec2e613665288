"""Turns in which nobody waits for one who is slow."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial

import pytest

from engine.platform.jobs.turns import Turns

AT_ONCE, SLOW_AT_ONCE = 4, 2


class Crowd:
    """Some who are done at once, and some who wait for ``opened``."""

    def __init__(self) -> None:
        self.turns = Turns(at_once=AT_ONCE, slow_at_once=SLOW_AT_ONCE, patience_s=0.02)
        self.opened = asyncio.Event()
        self.done: Counter[str] = Counter()
        self.working: set[str] = set()
        self.most_at_once = 0

    async def work(self, name: str, slow: bool) -> None:
        assert name not in self.working
        self.working.add(name)
        self.most_at_once = max(self.most_at_once, len(self.working))
        try:
            if slow:
                await self.opened.wait()
            await asyncio.sleep(0)
            self.done[name] += 1
        finally:
            self.working.discard(name)

    async def round(self, quick: int, slow: int) -> None:
        names = [(f"slow {n}", True) for n in range(slow)]
        names += [(f"quick {n}", False) for n in range(quick)]
        await asyncio.gather(
            *(self.turns.take(name, partial(self.work, name, slow)) for name, slow in names)
        )


@pytest.fixture
async def crowd() -> Crowd:
    return Crowd()


@pytest.mark.parametrize("slow", [0, 1, AT_ONCE, 5 * AT_ONCE])
async def test_who_is_quick_has_a_turn_in_every_round(crowd: Crowd, slow: int) -> None:
    for number in range(10):
        await crowd.round(quick=3, slow=slow)
        assert {crowd.done[f"quick {n}"] for n in range(3)} == {number + 1}
    assert not any(crowd.done[f"slow {n}"] for n in range(slow))
    crowd.opened.set()
    await crowd.turns.stop(5)
    assert all(crowd.done[f"slow {n}"] == 1 for n in range(slow))


async def test_a_round_without_anybody_new_who_is_slow_waits_for_nobody(crowd: Crowd) -> None:
    await crowd.round(quick=1, slow=3)
    for _ in range(5):  # no timer runs out, only what is ready is done
        round_ = asyncio.ensure_future(crowd.round(quick=1, slow=3))
        for _ in range(20):
            await asyncio.sleep(0)
        assert round_.done()
    crowd.opened.set()
    await crowd.turns.stop(5)


async def test_so_many_work_at_once_and_no_more(crowd: Crowd) -> None:
    crowd.opened.set()
    await crowd.round(quick=50, slow=0)
    assert crowd.most_at_once == AT_ONCE


async def test_of_the_slow_a_few_work_at_once(crowd: Crowd) -> None:
    await crowd.round(quick=0, slow=10)  # each found out to be slow by a turn of its own
    crowd.opened.set()
    await crowd.turns.stop(5)
    crowd.opened.clear()
    crowd.most_at_once = 0
    await crowd.round(quick=0, slow=10)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(crowd.working) == crowd.most_at_once == SLOW_AT_ONCE
    crowd.opened.set()
    await crowd.turns.stop(5)
    assert {crowd.done[f"slow {n}"] for n in range(10)} == {2}


async def test_who_was_slow_and_is_quick_again_is_waited_for_again(crowd: Crowd) -> None:
    await crowd.round(quick=0, slow=1)
    crowd.opened.set()
    await crowd.turns.stop(5)
    await crowd.round(quick=0, slow=1)  # by itself, and quick
    await crowd.turns.stop(5)
    before = crowd.done["slow 0"]
    await crowd.round(quick=0, slow=1)
    assert crowd.done["slow 0"] == before + 1


async def test_what_does_not_end_is_given_up_at_the_stop(crowd: Crowd) -> None:
    await crowd.round(quick=1, slow=3)
    await crowd.turns.stop(0.01)
    assert crowd.working == set()
    assert crowd.turns._under_way == {}


async def test_a_turn_that_fails_is_over(crowd: Crowd) -> None:
    async def fail() -> None:
        raise RuntimeError("it failed")

    await crowd.turns.take("one", fail)
    task = crowd.turns._under_way.get("one")
    assert task is None
    await crowd.round(quick=1, slow=0)
    assert crowd.done["quick 0"] == 1
