"""``onsale up`` as a person runs it: a process that starts everything and leaves nothing."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from devkit.installation import Installation
from devkit.processes import LaunchError, free_port, is_port_free

PROJECT = Path(__file__).parents[2]
PATIENCE_S = 90


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="onsale-up-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


class Run:
    """A running ``onsale up`` on ``data``, its output in a file beside it."""

    def __init__(self, data: Path, *arguments: str, port: int, **variables: str) -> None:
        self.data = data
        self.output = data / "output"
        given = ("REDIS_URL", "DATABASE_URL", "STRIPE", "ONSALE")
        clean = {key: value for key, value in os.environ.items() if not key.startswith(given)}
        with self.output.open("wb") as stream:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "engine.app.cli", "up"),
                    *("--data", str(data), "--port", str(port), *arguments),
                ],
                cwd=PROJECT,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env={**clean, **variables},
            )

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while text not in self.output.read_text():
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < deadline, self.output.read_text()
            time.sleep(0.02)

    def end(self) -> int:
        return self.process.wait(PATIENCE_S)

    def addresses(self) -> dict[str, str]:
        lines = (self.data / "env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def ports(self) -> list[int]:
        return [int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", self.output.read_text())]


def wait_until_free(ports: list[int]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while taken := [port for port in ports if not is_port_free(port)]:
        assert time.monotonic() < deadline, f"something still listens on {taken}"


def assert_private(data: Path) -> None:
    """Nobody else can read what is kept: the directory may be passed through, and no more."""
    assert data.stat().st_mode & 0o066 == 0
    for path in data.iterdir():
        if path.name not in {"output", "lock", "second"}:  # the first is this test's
            assert path.stat().st_mode & 0o077 == 0, path
    names = [path.name for path in data.rglob("*")]
    assert any(name.startswith("appendonly.aof") for name in names)
    assert "stripe.journal" in names
    for directory in ("valkey", "log", "mail", "postgres"):
        for path in (data / directory).rglob("*"):
            assert path.stat().st_mode & 0o077 == 0, path


def assert_no_secret_is_an_argument(data: Path, parent: int) -> None:
    """Arguments of a process are for everybody to read; its environment is not."""
    state = json.loads((data / "installation.json").read_bytes())
    addresses = (data / "env").read_text()
    secrets = [secret for secret in state["secrets"].values() if secret]
    assert len(secrets) >= 6
    assert all(secret in addresses for secret in secrets)
    seen = ""
    for process in family(parent):
        with contextlib.suppress(OSError):
            seen += Path(f"/proc/{process}/cmdline").read_text().replace("\0", " ")
    for part in ("devkit.stripe", "valkey-server", "postgres", "engine.app.cli api"):
        assert part in seen
    for secret in secrets:
        assert secret not in seen


def family(pid: int) -> list[int]:
    """A process and all that came of it."""
    found = [pid]
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += family(int(child))
    return found


def assert_metrics_are_beside(port: int, addresses: dict[str, str]) -> None:
    beside = int(addresses["ONSALE_API_METRICS_PORT"])
    with urllib.request.urlopen(f"http://127.0.0.1:{beside}/metrics", timeout=10) as answer:
        assert b"onsale_http_requests_total" in answer.read()
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10)
    assert refused.value.code == 404
    refused.value.close()


def test_everything_starts_survives_a_dead_part_and_stops(data: Path) -> None:
    port = free_port()
    run = Run(data, "--fresh", port=port)
    try:
        run.wait_for("Onsale is ready")
        ports = run.ports()
        assert len(set(ports)) >= 5
        addresses = run.addresses()
        assert (data / "env").stat().st_mode & 0o077 == 0
        assert (data / "installation.json").stat().st_mode & 0o077 == 0
        assert_private(data)
        assert_no_secret_is_an_argument(data, run.process.pid)
        assert_metrics_are_beside(port, addresses)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/events", timeout=10) as answer:
            assert answer.status == 200

        (data / "second").mkdir()
        second = Run(data / "second", port=port)
        assert second.end() == 2
        assert f"port {port} (the HTTP API; choose with --port) is taken" in (
            second.output.read_text()
        )
        third = subprocess.run(
            [
                *(sys.executable, "-m", "engine.app.cli", "up"),
                *("--data", str(data), "--port", str(free_port())),
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd=PROJECT,
        )
        assert third.returncode == 2
        assert f"another `onsale up` (pid {run.process.pid}) runs on {data}" in third.stderr

        os.kill(_listener(addresses["REDIS_URL"]), signal.SIGKILL)
        run.wait_for("valkey again")
    finally:
        run.process.send_signal(signal.SIGTERM)
        assert run.end() == 0
    wait_until_free(ports)
    assert not (data / "env").exists()
    stopped = re.findall(r"stopped (.*)", run.output.read_text())
    assert stopped == ["api", "control", "worker", "stripe look-alike", "postgresql", "valkey"]


def test_killing_it_leaves_nothing_and_the_next_run_finds_its_data(data: Path) -> None:
    run = Run(data, "--api-processes", "1", port=free_port())
    try:
        run.wait_for("Onsale is ready")
    finally:
        run.process.kill()
        run.end()
    wait_until_free(run.ports())
    secret = Installation(data).secret("token")
    again = Run(data, "--api-processes", "1", port=free_port())
    try:
        again.wait_for("Onsale is ready")
        assert again.addresses()["ONSALE_TOKEN_SECRET"] == secret
    finally:
        again.process.send_signal(signal.SIGINT)
        assert again.end() == 0
    wait_until_free(again.ports())


def test_given_servers_are_used_and_never_emptied(
    tmp_path: Path, valkey_url: str, database_url: str
) -> None:
    given = {"REDIS_URL": f"{valkey_url}/0", "DATABASE_URL": database_url}
    fresh = Run(tmp_path, "--fresh", port=free_port(), **given)
    assert fresh.end() == 2
    assert "REDIS_URL and DATABASE_URL is set" in fresh.output.read_text()
    run = Run(tmp_path, "--api-processes", "1", port=free_port(), **given)
    try:
        run.wait_for("Onsale is ready")
        assert run.addresses()["REDIS_URL"] == given["REDIS_URL"]
        assert run.addresses()["DATABASE_URL"] == given["DATABASE_URL"]
        assert not (tmp_path / "valkey").exists()
        assert not (tmp_path / "postgres").exists()
    finally:
        run.process.send_signal(signal.SIGTERM)
        assert run.end() == 0


def test_secrets_and_ports_are_made_once(tmp_path: Path) -> None:
    first, again = Installation(tmp_path), Installation(tmp_path)
    assert first.secret("token") == again.secret("token")
    assert first.secret("token") != first.secret("webhook")
    port = first.port("valkey")
    assert again.port("valkey") == port
    with socket.create_server(("127.0.0.1", port)):
        assert again.port("valkey") != port


def test_clearing_removes_only_what_up_made(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    (tmp_path / "thesis.txt").touch()
    (tmp_path / "valkey").mkdir()
    with installation.lock():
        installation.secret("token")
        installation.clear()
        with pytest.raises(LaunchError, match="another `onsale up`"), installation.lock():
            pass
    assert {path.name for path in tmp_path.iterdir()} == {"thesis.txt", "lock"}


def _listener(url: str) -> int:
    """Return the pid of the server at a Redis address."""
    with Redis.from_url(url) as client:
        return int(client.info("server")["process_id"])
