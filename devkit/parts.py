"""The programs that ``onsale up`` runs beside the two databases: this project's own commands."""

from __future__ import annotations

import http
import http.client
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from devkit.processes import LaunchError, Process, check_port_free, tail

PROJECT = Path(__file__).resolve().parents[1]
_PROBE_TIMEOUT_S = 1.0
_LOCAL, _STATE, _INODE = 1, 3, 9  # columns of /proc/net/tcp
_LISTEN = "0A"  # TCP_LISTEN there


class Service(Process):
    """A Python module of this project that serves HTTP on loopback.

    It is ready when it listens on ``port`` and ``path`` answers 200. ``shared``:
    other processes listen on the same port too (SO_REUSEPORT), so any of them
    may give that answer.
    """

    def __init__(
        self,
        name: str,
        module: str,
        arguments: Sequence[str],
        *,
        port: int,
        path: str,
        log: Path,
        environment: Mapping[str, str],
        shared: bool = False,
    ) -> None:
        command = [sys.executable, "-m", module, *arguments]
        super().__init__(name, command, log=log, environment=environment, directory=PROJECT)
        self.port = port
        self._path = path
        self._shared = shared

    def prepare(self) -> None:
        """See that the port is free, unless it is shared."""
        if not self._shared:
            check_port_free(self.port, self.name)

    def ready(self) -> bool:
        """Ask the readiness path."""
        if not self.running or not _listens(self.pid, self.port):
            return False
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PROBE_TIMEOUT_S)
        try:
            connection.request("GET", self._path)
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def _listens(pid: int, port: int) -> bool:
    """Tell whether a process or its child listens on a port; yes where the kernel keeps quiet."""
    table = Path("/proc/net/tcp")
    if not table.exists():
        return True
    rows = [line.split() for line in table.read_text().splitlines()[1:]]
    sockets = {
        f"socket:[{row[_INODE]}]"
        for row in rows
        if row[_STATE] == _LISTEN and row[_LOCAL].endswith(f":{port:04X}")
    }
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return any(
            str(fd.readlink()) in sockets
            for process in (pid, *children)
            for fd in Path(f"/proc/{process}/fd").iterdir()
        )
    except OSError:  # it has just ended, or just closed one
        return False


class Errand(Process):
    """A command of this project that does its work and ends."""

    def __init__(
        self, name: str, arguments: Sequence[str], *, log: Path, environment: Mapping[str, str]
    ) -> None:
        super().__init__(
            name,
            [sys.executable, "-m", "engine.app.cli", *arguments],
            log=log,
            environment=environment,
            directory=PROJECT,
        )

    def start(self, timeout_s: float = 120.0) -> None:
        """Run it to its end. Raises :class:`LaunchError` unless it ends well and in time."""
        self.spawn()
        deadline = time.monotonic() + timeout_s
        while self.running:
            if time.monotonic() > deadline:
                self.kill()
                raise LaunchError(f"{self.name} took longer than {timeout_s:.0f} s")
            time.sleep(0.02)
        if self.returncode != 0:
            raise LaunchError(f"{self.name} failed; it said:\n{tail(self.log)}")
