"""Valkey and PostgreSQL from their wheels: restarts, kills, taken ports, a parent that dies."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from redis import Redis

from devkit.parts import Errand
from devkit.postgres import Postgres
from devkit.processes import LaunchError, Process, free_port, is_port_free
from devkit.valkey import Valkey

PROJECT = Path(__file__).parents[2]
PASSWORD = "correct-horse"


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="onsale-servers-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


class NeverReady(Process):
    def ready(self) -> bool:
        return False


def wait_until_free(*ports: int) -> None:
    deadline = time.monotonic() + 20
    while not all(map(is_port_free, ports)):
        assert time.monotonic() < deadline, f"something still listens on {ports}"


def test_valkey_keeps_acknowledged_writes_over_kill_and_stop(directory: Path) -> None:
    server = Valkey(directory)
    server.start()
    with Redis(port=server.port) as client:
        client.set("hold", "1")
        server.kill()
        server.start()
        assert client.get("hold") == b"1"
        client.set("hold", "2")
        server.stop()
        server.start()
        assert client.get("hold") == b"2"
    server.stop()
    wait_until_free(server.port)


def test_valkey_syncs_every_write_and_evicts_nothing(valkey_url: str) -> None:
    with Redis.from_url(valkey_url) as client:
        configuration = client.config_get("*")
    assert configuration["appendonly"] == "yes"
    assert configuration["appendfsync"] == "always"
    assert configuration["maxmemory-policy"] == "noeviction"
    assert configuration["bind"] == "127.0.0.1"


def test_postgres_keeps_committed_rows_over_kill_and_stop(directory: Path) -> None:
    server = Postgres(directory / "data", password=PASSWORD)
    server.start()
    for expected, end in ((0, server.kill), (1, server.stop), (2, server.kill)):
        with psycopg.connect(server.url) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS orders (id int)")
            (count,) = connection.execute("SELECT count(*) FROM orders").fetchone() or (None,)
            connection.execute("INSERT INTO orders VALUES (1)")
        assert count == expected
        end()
        server.start()
    server.stop()
    wait_until_free(server.port)


def test_postgres_works_below_a_directory_that_is_closed_to_others(directory: Path) -> None:
    directory.chmod(0o700)
    server = Postgres(directory / "data", password=PASSWORD)
    server.start()
    with psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT uuidv7()").fetchone()
    server.stop()


def test_postgres_wants_the_password(postgres_url: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(postgres_url, password="wrong")


@pytest.mark.parametrize("name", ["Valkey", "PostgreSQL"])
def test_a_taken_port_is_named(name: str, directory: Path) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        port = taken.getsockname()[1]
        server: Process = Valkey(directory, port=port)
        if name == "PostgreSQL":
            server = Postgres(directory, password=PASSWORD, port=port)
        with pytest.raises(LaunchError, match=rf"port {port} \({name}\) .*another port"):
            server.start()


def test_a_failed_start_shows_the_last_lines(directory: Path) -> None:
    process = NeverReady(
        "half", [sys.executable, "-c", "exit('no such hall')"], log=directory / "half.log"
    )
    with pytest.raises(LaunchError, match=r"(?s)half ended with 1 .*half\.log:\n  no such hall"):
        process.start()


def test_a_start_that_takes_too_long_is_killed(directory: Path) -> None:
    endless = NeverReady("sleeper", ["/bin/sleep", "60"], log=directory / "log")
    with pytest.raises(LaunchError, match="sleeper was not ready after 0 s"):
        endless.start(timeout_s=0.1)
    assert endless.returncode == -signal.SIGKILL


def test_a_stop_that_takes_too_long_kills(directory: Path) -> None:
    log = directory / "log"
    stubborn = Process(
        "stubborn", ["/bin/sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 1; done"], log=log
    )
    stubborn.start()
    while "deaf" not in log.read_text():
        assert stubborn.running
    stubborn.stop(timeout_s=0.1)
    assert stubborn.returncode == -signal.SIGKILL


def test_an_errand_that_fails_says_what_it_said(directory: Path) -> None:
    errand = Errand("frob", ["frob"], log=directory / "log", environment={})
    with pytest.raises(LaunchError, match="No such command 'frob'"):
        errand.start()


@pytest.mark.parametrize("closed", [False, True])
def test_servers_die_with_a_parent_that_is_killed(closed: bool, directory: Path) -> None:
    if closed:
        directory.chmod(0o700)
    script = (
        "import sys, threading; from pathlib import Path;"
        "from devkit.valkey import Valkey; from devkit.postgres import Postgres;"
        "d = Path(sys.argv[1]); v = Valkey(d / 'v'); p = Postgres(d / 'p', password='x');"
        "t = threading.Thread(target=v.start); t.start(); t.join(); p.start();"
        "print(v.port, p.port, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(directory)],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdout is not None
        ports = [int(part) for part in parent.stdout.readline().split()]
        assert len(ports) == 2
        assert not any(map(is_port_free, ports))
        parent.kill()
    wait_until_free(*ports)


def test_a_child_outlives_the_thread_that_started_it(directory: Path) -> None:
    server = Valkey(directory)
    with contextlib.closing(Redis(port=server.port)) as client:
        thread = threading.Thread(target=server.start)
        thread.start()
        thread.join()
        assert client.ping()
        assert server.running
    server.stop()


def test_postgres_starts_again_while_a_backend_of_the_killed_one_is_busy(directory: Path) -> None:
    server = Postgres(directory / "data", password=PASSWORD)
    server.start()
    with contextlib.closing(psycopg.connect(server.url, autocommit=True)) as client:
        pid = client.info.backend_pid
        # It computes, and so does not notice that its server has gone.
        client.pgconn.send_query(b"SELECT sum(x) FROM generate_series(1, 8000000) x")
        with psycopg.connect(server.url, autocommit=True) as observer:
            query = "SELECT state FROM pg_stat_activity WHERE pid = %s"
            while observer.execute(query, [pid]).fetchone() != ("active",):
                assert server.running
        server.kill()
        server.start()
    with psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    server.stop()
