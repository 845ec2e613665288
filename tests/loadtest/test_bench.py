"""One benchmark, from end to end, as small as it can be."""

from __future__ import annotations

from pathlib import Path

import pytest
from blockbuster import BlockBuster
from click.testing import CliRunner

from loadtest.bench import servers
from loadtest.bench.__main__ import BENCHES, main
from loadtest.bench.context import Context, Options
from loadtest.bench.results import Results


async def test_valkeys_cpu_is_measured_in_turns_with_its_limit(
    server_directory: Path, monkeypatch: pytest.MonkeyPatch, blockbuster: BlockBuster
) -> None:
    blockbuster.deactivate()  # nobody is served meanwhile
    monkeypatch.setattr(servers, "LOAD_CORE", 0)
    results = Results(started_at="now", machine={}, options={})
    directory = server_directory / "bench"
    directory.mkdir()
    context = Context(
        options=Options(rounds=2, seconds=1, seats=1_200, sale_s=1, places=2_000, sockets=50),
        directory=directory,
        results=results,
        say=lambda _: None,
    )
    await BENCHES["valkey"].run(context)
    (ratio,) = results.ratios
    assert len(ratio.measured) == len(ratio.limit) == 2
    assert min(*ratio.measured, *ratio.limit) > 0
    assert ratio.at_most


def test_a_name_that_is_no_benchmark_is_refused() -> None:
    result = CliRunner().invoke(main, ["--only", "nonsense"])
    assert result.exit_code == 2
    assert "valkey" in result.output
