from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from devkit import supervisor
from devkit.parts import Errand
from devkit.processes import LaunchError, Process
from devkit.supervisor import Supervisor

PATIENCE_S = 20


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - it is another process that changes it
            await asyncio.sleep(0.005)


def ignore(_: str) -> None:
    pass


def sleeper(name: str, directory: Path) -> Process:
    return Process(name, ["/bin/sleep", "60"], log=directory / f"{name}.log")


async def test_a_part_that_dies_is_told_and_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_BACKOFF_FIRST_S", 0.01)
    said: list[str] = []
    parts = Supervisor(said.append, ignore)
    part = sleeper("worker", tmp_path)
    await parts.start(part)
    keeping = asyncio.create_task(parts.keep())
    try:
        for times in (1, 2):
            before = part.pid
            await asyncio.to_thread(part.kill)
            await eventually(lambda: part.pid != before and part.running)  # noqa: B023 - awaited here
            await eventually(lambda: sum("again" in line for line in said) >= 2 * times)  # noqa: B023
        assert "worker with -9; starting it again in 0.01 s" in said[1]
        assert "starting it again in 0.02 s" in said[3]
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await parts.stop()


async def test_a_part_that_cannot_start_is_tried_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_BACKOFF_FIRST_S", 0.01)
    monkeypatch.setattr(supervisor, "_BACKOFF_LAST_S", 0.02)
    said: list[str] = []
    parts = Supervisor(said.append, ignore)
    gate = tmp_path / "gate"

    class Gated(Process):
        def prepare(self) -> None:
            if not gate.exists():
                raise LaunchError("the gate is closed")

    gate.touch()
    part = Gated("api", ["/bin/sleep", "60"], log=tmp_path / "api.log")
    await parts.start(part)
    keeping = asyncio.create_task(parts.keep())
    try:
        gate.unlink()
        await asyncio.to_thread(part.kill)
        await eventually(lambda: sum("ended" in line for line in said) >= 3)
        gate.touch()
        await eventually(lambda: part.running)
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await parts.stop()


async def test_parts_are_stopped_in_reverse_order(tmp_path: Path) -> None:
    said: list[str] = []
    parts = Supervisor(said.append, ignore)
    started = [sleeper(name, tmp_path) for name in ("valkey", "worker", "api")]
    for part in started:
        await parts.start(part)
    said.clear()
    await parts.stop()
    assert [line.split()[-1].removesuffix("[/]") for line in said] == ["api", "worker", "valkey"]
    assert not any(part.running for part in started)


async def test_an_errand_is_not_kept_running(tmp_path: Path) -> None:
    parts = Supervisor(ignore, ignore)
    errand = Errand("help", ["--help"], log=tmp_path / "log", environment={})
    await parts.start(errand)
    assert errand.returncode == 0
    await parts.keep()  # nothing to keep


async def test_what_was_started_is_stopped_when_the_next_part_fails(tmp_path: Path) -> None:
    parts = Supervisor(ignore, ignore)
    first = sleeper("valkey", tmp_path)
    await parts.start(first)
    with pytest.raises(LaunchError, match="cannot start /nowhere"):
        await parts.start(_Endless("api", ["/nowhere"], log=tmp_path / "api.log"))
    await parts.stop()
    assert not first.running


class _Endless(Process):
    def ready(self) -> bool:
        return False
