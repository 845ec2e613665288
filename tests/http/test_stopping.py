"""``onsale api`` at its limits: told to stop whatever clients do, and out of open files."""

from __future__ import annotations

import contextlib
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devkit.processes import Process
from engine.core.settings import Settings
from tests.http.test_edge_serving import PROJECT, Api, counted, wait_until

STOP_S = 8.0  # what is promised
LIVE = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
GUEST = b"POST /v1/guests HTTP/1.1\r\nHost: x\r\nIdempotency-Key: 0123456789abcdef\r\n"
JSON = b"Content-Type: application/json\r\n"


class Limited(Api):
    """``onsale api`` that may open so many files."""

    def __init__(self, directory: Path, redis_url: str, files: int, *arguments: str) -> None:
        super().__init__(directory, redis_url, *arguments)
        code = (
            "import resource, sys; "
            f"resource.setrlimit(resource.RLIMIT_NOFILE, ({files // 2}, {files})); "
            "from engine.app.cli import main; main(sys.argv[1:])"
        )
        rest = self.command[self.command.index("engine.app.cli") + 1 :]
        self.command = [sys.executable, "-c", code, *rest]


@pytest.fixture
def run(tmp_path: Path, valkey_url: str) -> Iterator[Callable[..., Api]]:
    started: list[Process] = []

    def start(*arguments: str, files: int = 0, **environment: str) -> Api:
        url = f"{valkey_url}/0"
        one = Limited(tmp_path, url, files, *arguments) if files else Api(tmp_path, url, *arguments)
        one.environment = {**(one.environment or {}), **environment}
        started.append(one)
        one.start()
        return one

    yield start
    for one in started:
        one.kill()


def connect(port: int, sent: bytes, *, unread: bool = False) -> socket.socket:
    raw = socket.socket()
    if unread:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    raw.settimeout(30)
    raw.connect(("127.0.0.1", port))
    with contextlib.suppress(OSError):
        raw.sendall(sent)
    return raw


def clients(port: int) -> list[socket.socket]:
    """One of every kind that would keep a server."""
    head = b"GET /docs HTTP/1.1\r\nHost: x\r\n\r\n"
    return [
        connect(port, b""),
        connect(port, LIVE),
        connect(port, b"GET /heal"),
        connect(port, LIVE + b"GET /heal"),
        connect(port, GUEST + JSON + b"Content-Length: 100\r\n\r\n{"),
        connect(port, GUEST + JSON + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"),
        connect(port, GUEST + JSON + b"Expect: 100-continue\r\nContent-Length: 100\r\n\r\n"),
        connect(port, head * 300, unread=True),
        connect(port, LIVE[:-2] + b"Content-Length: 1000\r\n\r\n"),
    ]


@pytest.mark.parametrize("processes", ["1", "2"])
def test_it_ends_in_time_whatever_clients_do(run: Callable[..., Api], processes: str) -> None:
    one = run("--processes", processes)
    wait_until(lambda: one.log.read_bytes().count(b'"serving"') == int(processes))
    held = [client for _ in range(4) for client in clients(one.port)]
    assert one.get("/health/live")["status"] == "up"
    told_at = time.monotonic()
    one._signal(signal.SIGTERM)
    wait_until(lambda: not one.running)
    took_s = time.monotonic() - told_at
    assert one.returncode == 0
    assert took_s < STOP_S
    assert b"Traceback" not in one.log.read_bytes()
    for client in held:
        client.close()


def test_half_a_request_is_told_that_the_server_restarts(run: Callable[..., Api]) -> None:
    one = run()
    half = connect(one.port, GUEST + JSON + b"Content-Length: 100\r\n\r\n{")
    assert one.get("/health/live")["status"] == "up"  # it has been read
    one._signal(signal.SIGTERM)
    answer = b""
    with contextlib.suppress(ConnectionError):
        while piece := half.recv(65_536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 503 "), answer
    assert b'"code":"restarting"' in answer
    assert b"Retry-After: " in answer
    wait_until(lambda: not one.running)
    assert one.returncode == 0
    half.close()


def test_a_process_that_is_stuck_is_ended_by_the_kernel(tmp_path: Path) -> None:
    code = (
        "import time\nfrom engine.app import serving\nserving._END_S = 0.2\n"
        "with serving.ending():\n    time.sleep(3600)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        timeout=60,
        cwd=tmp_path,
        env={"PYTHONPATH": str(PROJECT)},
    )
    assert result.returncode == -signal.SIGALRM


def test_the_longest_end_is_within_the_promise() -> None:
    from engine.app import serving
    from engine.core.settings import RULES
    from engine.platform.http import connections
    from engine.platform.http.websocket import sockets

    assert serving._END_S < STOP_S
    longest = Settings().http_stop_s + sockets._CLOSE_S + connections.Server._LAST_S
    assert longest < serving._END_S
    assert RULES["http_stop_s"](STOP_S) is not None


FILES = 160


def test_open_files_are_raised_at_start_and_newcomers_refused_near_the_end(
    run: Callable[..., Api],
) -> None:
    one = run(files=FILES)
    (said,) = [line for line in one.lines() if line["message"] == "open files"]
    assert said["most"] == FILES
    assert resource.prlimit(one.pid, resource.RLIMIT_NOFILE) == (FILES, FILES)
    held = [connect(one.port, b"") for _ in range(2 * FILES)]
    told, ended = [], 0
    newest = held[-1]
    newest.sendall(LIVE)
    with contextlib.suppress(ConnectionError):
        answer = newest.recv(65_536)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 503 "), answer
    for client in held:
        client.setblocking(False)
        try:
            answer = client.recv(65_536)
        except BlockingIOError:
            continue  # it is one of those that were let in
        except ConnectionError:
            answer = b""
        ended += 1
        if answer:
            told.append(answer)
    assert ended >= FILES
    assert told, "some must have been told why"
    for answer in told:
        assert answer.startswith(b"HTTP/1.1 503 "), answer
        assert b"Retry-After: " in answer
        assert b"Server: onsale\r\n" in answer
        assert b'"code":"too_many_connections"' in answer
    first = held[0]
    first.setblocking(True)
    first.sendall(LIVE)
    assert first.recv(65_536).startswith(b"HTTP/1.1 200 "), "who is in is served"
    log = one.log.read_bytes()
    assert b"Traceback" not in log
    assert log.count(b"too many open files") == 1
    assert log.count(b"\n") < 10
    for client in held:
        client.close()
    wait_until(lambda: served(one))


def served(one: Api) -> bool:
    try:
        return bool(one.get("/health/ready")["status"] == "ready")
    except OSError:
        return False


@pytest.mark.parametrize("port", ["0", "taken"])
def test_a_sale_opens_without_metrics(run: Callable[..., Api], port: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = str(taken.getsockname()[1]) if port == "taken" else port
        one = run(ONSALE_API_METRICS_PORT=number)
        assert one.get("/health/live")["status"] == "up"
        said = [line for line in one.lines() if "metrics are not served" in line["message"]]
        assert len(said) == (port == "taken")
        if said:
            assert said[0]["address"] == f"127.0.0.1:{number}"


def test_metrics_are_on_a_port_of_their_own(run: Callable[..., Api]) -> None:
    one = run()
    assert one.get("/health/live")["status"] == "up"
    assert counted(one.metrics(), "read_live") >= 1
    for port, status in ((one.port, b"404"), (one.metrics_port, b"200")):
        client = connect(port, b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = everything(client)
        assert answer.startswith(b"HTTP/1.1 " + status), answer
        assert b"Server: onsale\r\n" in answer
    for sent, status in (
        (b"GET /v1/events HTTP/1.1\r\nHost: x\r\n", b" 404 "),
        (b"hi\r\n", b" 400 "),
    ):
        answer = everything(connect(one.metrics_port, sent + b"Connection: close\r\n\r\n"))
        assert status in answer.splitlines()[0]
        assert b"application/problem+json" in answer


def everything(client: socket.socket) -> bytes:
    found: list[Any] = []
    with contextlib.suppress(ConnectionError):
        while piece := client.recv(65_536):
            found.append(piece)
    client.close()
    return b"".join(found)
