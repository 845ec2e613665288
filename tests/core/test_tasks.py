from __future__ import annotations

import asyncio

import pytest

from engine.core.tasks import Shared, end


async def test_a_task_that_swallows_a_cancellation_is_ended_all_the_same() -> None:
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                swallowed += 1
                if swallowed > 1:
                    raise

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await end(task)
    assert (task.cancelled(), swallowed) == (True, 2)


async def test_what_a_task_failed_with_is_raised() -> None:
    async def failing() -> None:
        raise LookupError("it was not there")

    task = asyncio.create_task(failing())
    await asyncio.sleep(0)
    with pytest.raises(LookupError):
        await end(task)


async def test_no_task_is_no_work() -> None:
    await end(None)


async def test_who_asks_for_the_same_at_the_same_time_shares_the_work() -> None:
    shared, done, go = Shared(), list[str](), asyncio.Event()

    async def work() -> str:
        await go.wait()
        done.append("once")
        return "for all"

    asking = [asyncio.create_task(shared.do("it", work)) for _ in range(5)]
    await asyncio.sleep(0)
    asking[0].cancel()  # the work goes on, for the others
    go.set()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert (answers[1:], done) == (["for all"] * 4, ["once"])
    assert await shared.do("it", work) == "for all"
    assert done == ["once", "once"]


async def test_shared_work_that_fails_fails_for_all_and_is_done_anew() -> None:
    shared, tries = Shared(), list[int]()

    async def failing() -> None:
        tries.append(1)
        await asyncio.sleep(0)
        raise LookupError

    for _ in range(2):
        answers = await asyncio.gather(
            *[shared.do("it", failing) for _ in range(3)], return_exceptions=True
        )
        assert [type(answer) for answer in answers] == [LookupError] * 3
    assert len(tries) == 2


async def test_shared_work_ends_with_its_owner() -> None:
    shared = Shared()
    asking = asyncio.create_task(shared.do("it", lambda: asyncio.sleep(60)))
    await asyncio.sleep(0)
    await shared.stop()
    with pytest.raises(asyncio.CancelledError):
        await asking
