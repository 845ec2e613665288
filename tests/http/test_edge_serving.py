"""``onsale api`` as an operator runs it: processes, signals, a taken port."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from devkit.processes import Process, free_port
from engine.app.serving import Family
from engine.core.settings import Settings
from engine.platform.telemetry.http_metrics import Metrics

PROJECT = Path(__file__).parents[2]
PATIENCE_S = 20


class Api(Process):
    """``onsale api`` on a free port."""

    def __init__(self, directory: Path, redis_url: str, *arguments: str) -> None:
        self.port, self.metrics_port = free_port(), free_port()
        clean = {name: v for name, v in os.environ.items() if not name.startswith("ONSALE_")}
        super().__init__(
            "api",
            [sys.executable, "-m", "engine.app.cli", "api", "--port", str(self.port), *arguments],
            log=directory / "api.log",
            environment={
                **clean,
                "PYTHONPATH": str(PROJECT),
                "REDIS_URL": redis_url,
                "ONSALE_API_METRICS_PORT": str(self.metrics_port),
            },
            directory=directory,
        )

    def ready(self) -> bool:
        try:
            return bool(self.get("/health/live")["status"] == "up")
        except OSError:
            return False

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
            return json.load(answer)

    def metrics(self) -> str:
        url = f"http://127.0.0.1:{self.metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return str(answer.read().decode())

    def children(self) -> list[int]:
        return children_of(self.pid)

    def lines(self) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in self.log.read_bytes().splitlines()]


def children_of(pid: int) -> list[int]:
    names = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(name) for name in names]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.01)


@pytest.fixture
def api(tmp_path: Path, valkey_url: str) -> Iterator[Callable[..., Api]]:
    started: list[Api] = []

    def start(*arguments: str) -> Api:
        one = Api(tmp_path, f"{valkey_url}/0", *arguments)
        started.append(one)
        one.start()
        return one

    yield start
    for one in started:
        one.stop()


def test_sigterm_ends_it_with_code_0_and_every_log_line_is_json(api: Callable[..., Api]) -> None:
    one = api()
    one.stop()
    assert one.returncode == 0
    messages = [line["message"] for line in one.lines()]
    assert messages[:2] == ["open files", "serving"]
    assert messages[-1] == "stopping"


def test_several_processes_share_the_port_and_the_metrics(api: Callable[..., Api]) -> None:
    one = api("--processes", "2")
    wait_until(lambda: sum(line["message"] == "serving" for line in one.lines()) == 2)
    before = counted(one.metrics(), "read_live")
    for _ in range(40):  # each on a connection of its own, which the kernel gives to either
        one.get("/health/live")
    assert counted(one.metrics(), "read_live") == before + 40


def counted(text: str, route: str) -> int:
    start = f'onsale_http_requests_total{{route="{route}",status="200"}} '
    return sum(
        int(float(line.removeprefix(start))) for line in text.splitlines() if line.startswith(start)
    )


def test_a_process_that_dies_is_replaced(api: Callable[..., Api]) -> None:
    one = api("--processes", "2")
    wait_until(lambda: sum(line["message"] == "serving" for line in one.lines()) == 2)
    first = one.children()
    os.kill(first[0], signal.SIGKILL)
    wait_until(lambda: sum(line["message"] == "serving" for line in one.lines()) == 3)
    now = one.children()
    assert first[1] in now
    assert len(now) == 2
    for _ in range(10):
        one.get("/health/live")
    one.stop()
    assert one.returncode == 0
    assert not any(alive(pid) for pid in now)


def test_without_their_parent_the_processes_end(api: Callable[..., Api]) -> None:
    one = api("--processes", "2")
    children = one.children()
    one.kill()
    wait_until(lambda: not any(alive(pid) for pid in children))


def test_processes_that_always_die_end_the_whole(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Family):
        def serve(self, index: int) -> None:
            sys.exit(3 + index)

    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        assert Broken(Settings(), Metrics(["a"], 2), 2).run() == 1
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert "again and again" in caplog.text


def test_a_taken_port_is_named(tmp_path: Path, valkey_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = subprocess.run(
            [sys.executable, "-m", "engine.app.cli", "api", "--port", str(port)],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            timeout=60,
            env={**os.environ, "PYTHONPATH": str(PROJECT), "REDIS_URL": f"{valkey_url}/0"},
        )
    assert result.returncode != 0
    assert f"127.0.0.1:{port}" in result.stderr
    assert "Traceback" not in result.stderr
