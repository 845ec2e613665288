"""Benchmarks from end to end, as small as they can be."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from blockbuster import BlockBuster
from click.testing import CliRunner

from engine.queue.draw.numbers import LEAF_BYTES
from loadtest.bench import servers, sockets
from loadtest.bench.__main__ import BENCHES, main
from loadtest.bench.audience import audience
from loadtest.bench.context import Context, Options
from loadtest.bench.results import Results
from loadtest.checks import CheckError


@pytest.fixture
def context(
    server_directory: Path, monkeypatch: pytest.MonkeyPatch, blockbuster: BlockBuster
) -> Context:
    """As small as it can be, on one core."""
    blockbuster.deactivate()  # nobody is served meanwhile
    monkeypatch.setattr(servers, "LOAD_CORE", 0)
    directory = Path(tempfile.mkdtemp(dir=server_directory))
    return Context(
        options=Options(rounds=2, seconds=1, seats=1_200, sale_s=1, places=2_000, sockets=40),
        directory=directory,
        results=Results(started_at="now", machine={}, options={}),
        say=lambda _: None,
    )


async def test_valkeys_cpu_is_measured_in_turns_with_its_limit(context: Context) -> None:
    await BENCHES["valkey"].run(context)
    (ratio,) = context.results.ratios
    assert len(ratio.measured) == len(ratio.limit) == 2
    assert min(*ratio.measured, *ratio.limit) > 0
    assert ratio.at_most


async def test_the_memory_of_places_is_what_their_joining_left(context: Context) -> None:
    await BENCHES["places"].run(context)
    (ratio,) = context.results.ratios
    assert LEAF_BYTES < ratio.value < 1_000
    assert {figure.name for figure in context.results.figures} == {"joins_by_script", "draw_digest"}


async def test_a_broadcast_reaches_every_socket(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "_WAVES", 2)
    monkeypatch.setattr(sockets, "_QUIET_S", 0.3)
    monkeypatch.setattr(sockets, "_SETTLE_S", 0.1)
    await BENCHES["sockets"].run(context)
    memory, broadcast = context.results.ratios
    assert memory.value > 0
    assert len(broadcast.measured) == len(broadcast.limit) == 2
    assert min(*broadcast.measured, *broadcast.limit) > 0
    (told,) = context.results.figures
    assert told.value > 0


async def test_a_socket_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(CheckError, match="401"):
            async with audience(port, ["/live"], tmp_path / "paths"):
                pass


def test_a_name_that_is_no_benchmark_is_refused() -> None:
    result = CliRunner().invoke(main, ["--only", "nonsense"])
    assert result.exit_code == 2
    assert "valkey" in result.output
