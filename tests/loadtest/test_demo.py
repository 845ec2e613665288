"""The demo from end to end, in a tiny house with short times, on the real processes."""

from __future__ import annotations

import dataclasses
import os
import socket
from io import StringIO
from pathlib import Path

import pytest
from blockbuster import BlockBuster
from rich.console import Console

from devkit.demo import stage
from devkit.demo.commands import play
from devkit.demo.stage import Pace
from devkit.demo.system import OnsaleUp, read_addresses, running_system, without
from devkit.demo.till import NoLookalikeError
from devkit.processes import LaunchError
from engine.catalogue.files import read_event
from engine.core.settings import Settings
from loadtest.bench import servers

EVENT = Path(__file__).with_name("tiny.yaml")
PACE = Pace(
    opens_in_ms=3_000, claim_ms=3_000, shop_ms=5_000, hold_ms=2_000, payment_window_ms=2_500
)


async def test_a_house_is_sold_out_with_every_promise_kept(
    playing: Settings, blockbuster: BlockBuster
) -> None:
    blockbuster.deactivate()  # the demo serves nobody
    text = StringIO()
    console = Console(file=text)
    report = await play(playing, 60, 3, console, event=EVENT, pace=PACE, seconds_max=60.0)
    assert report.broken == []
    assert (report.sold, report.capacity, report.oversold, report.lost) == (40, 40, 0, 0)
    assert report.exit_code == 0
    assert {item.code: item.sold for item in report.types} == {
        "stalls": 16,
        "circle": 16,
        "standing": 8,
    }
    assert all(step.count for step in report.steps)
    assert "sold 40 of 40" in text.getvalue()
    line = report.line
    assert line.inversions == 0
    assert line.draw_right
    assert line.checked == line.drawn > 0
    assert line.entered <= line.called <= line.drawn + line.later
    assert line.counts["still in line"] > 0
    assert [part.first for part in line.waited] == sorted(part.first for part in line.waited)


async def test_an_unsold_house_and_a_real_provider_are_told(
    playing: Settings, tmp_path: Path, blockbuster: BlockBuster
) -> None:
    blockbuster.deactivate()  # the demo serves nobody
    console = Console(file=StringIO())
    said: list[str] = []
    variables = servers.environment(playing)
    async with running_system(tmp_path, variables, said.append) as settings:
        assert settings.public_url == playing.public_url
        report = await play(settings, 3, 3, console, event=EVENT, pace=PACE, seconds_max=30.0)
    assert report.exit_code == 1
    assert [sentence for sentence in report.broken if "not sold out" in sentence] == report.broken
    assert report.lost == report.oversold == 0

    # the API itself stands in for a provider that is no look-alike
    real = dataclasses.replace(playing, stripe_api_base=playing.public_url)
    with pytest.raises(NoLookalikeError, match="not the Stripe look-alike"):
        await play(real, 1, 1, console, event=EVENT)

    # what was found running was left running
    async with running_system(tmp_path, variables, said.append):
        pass
    assert said == [f"playing on {playing.public_url}"] * 2


def test_addresses_are_read_and_missing_ones_are_none(tmp_path: Path) -> None:
    file = tmp_path / "env"
    assert read_addresses(file) == {}
    file.write_text("REDIS_URL=redis://127.0.0.1:1/0\n\nSTRIPE_SECRET_KEY=a=b\n")
    assert read_addresses(file) == {
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "STRIPE_SECRET_KEY": "a=b",
    }


def test_addresses_of_a_system_that_is_gone_do_not_count() -> None:
    environment = {"REDIS_URL": "redis://gone", "DATABASE_URL": "postgresql://mine", "HOME": "/"}
    stale = {"REDIS_URL": "redis://gone", "DATABASE_URL": "postgresql://gone"}
    assert without(environment, stale) == {"DATABASE_URL": "postgresql://mine", "HOME": "/"}


def test_a_system_that_does_not_start_says_why(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        up = OnsaleUp(tmp_path, port, {"ONSALE_ENV_FILE": os.devnull})
        with pytest.raises(LaunchError, match=f"port {port}"):
            up.start()


def test_every_time_another_occurrence_is_sold() -> None:
    first, second = (stage.another(read_event(EVENT), PACE) for _ in range(2))
    assert first.occurrences[0].key != second.occurrences[0].key
    assert first.event == second.event
    assert first.policies.hold_ttl_ms == PACE.hold_ms
