"""Child processes that never outlive the process that started them.

Used by ``onsale up`` and by the tests. All methods block for as long as they
say, so in an event loop call them with :func:`asyncio.to_thread`. Whether a
server lives is asked by connecting to it, never by its pid: a zombie keeps one.
"""

from __future__ import annotations

import errno
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from engine.core.errors import OnsaleError

PRIVATE = 0o077  # the umask of all parts: what they write is for their owner alone
_LEASH = Path(__file__).with_name("leash.py")
_LOG_TAIL_LINES = 15
_POLL_S = 0.01
# Outgoing connections are given ports from 32768 on; a server there could find its port taken.
_PORTS = range(20_000, 32_000)

# The kernel ties a child to the thread that forked it, so one thread that lasts forks them all.
_SPAWNER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")


class LaunchError(OnsaleError):
    """A server could not be started; the message says why and what to do."""

    code, title = "launch_failed", "A server could not be started"


def check_port_free(port: int, what: str, *, host: str = "127.0.0.1") -> None:
    """Raise :class:`LaunchError` naming the port and ``what`` wants it, when it is taken."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise LaunchError(
                    f"port {port} ({what}) is taken by another program:"
                    " stop that program, or choose another port"
                ) from None
            raise LaunchError(f"port {port} ({what}) cannot be used: {error.strerror}") from None


def is_port_free(port: int, host: str = "127.0.0.1") -> bool:
    """Tell whether a server could listen on ``port``."""
    try:
        check_port_free(port, "a server", host=host)
    except LaunchError:
        return False
    return True


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port below those of outgoing connections on which nothing listens."""
    for _ in range(200):
        port = random.choice(_PORTS)  # noqa: S311 - nothing secret about a port
        if is_port_free(port, host):
            return port
    raise LaunchError(f"no free port in {_PORTS.start}-{_PORTS.stop - 1}")


def tail(log: Path, lines: int = _LOG_TAIL_LINES) -> str:
    """Return the last ``lines`` lines of a log, indented; empty when there is none."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 16_384))
        text = file.read().decode(errors="replace")
    return "\n".join(f"  {line}" for line in text.splitlines()[-lines:])


def open_private(file: Path) -> BinaryIO:
    """Open a file to append to it; a new one is for its owner alone."""
    return os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


def make_private(directory: Path) -> None:
    """Make a directory, and see that only its owner may enter it."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)


class Process:
    """One child: a command, its log file, how it is stopped and how it is known to be ready.

    A subclass overrides :meth:`ready` (one probe, at most a second) and may
    override :meth:`prepare` (before every start). ``user`` is ``(uid, gid)``;
    ``death_signal`` is sent by the kernel when this process dies.
    """

    stop_signal = signal.SIGTERM
    death_signal = signal.SIGKILL

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> None:
        self.name = name
        self.command = list(command)
        self.log = log
        self.environment = environment
        self.directory = directory
        self.user: tuple[int, int] | None = None
        self._popen: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        """Do what a start needs beforehand. Raises :class:`LaunchError`."""

    def ready(self) -> bool:
        """Tell whether the child answers."""
        return self.running

    @property
    def running(self) -> bool:
        """Whether the child was started and has not ended."""
        return self._popen is not None and self._popen.poll() is None

    @property
    def pid(self) -> int:
        """The pid of the running child. Raises :class:`LaunchError` when there is none."""
        if self._popen is None:
            raise LaunchError(f"{self.name} is not running")
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """Exit code of the last child, negative for a signal; None while it runs."""
        return None if self._popen is None else self._popen.poll()

    def spawn(self) -> None:
        """Start the child without waiting for it."""
        self.prepare()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with open_private(self.log) as output:
            self._popen = _SPAWNER.submit(
                subprocess.Popen,
                [*self.leash(), *self.command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if self.environment is None else dict(self.environment),
                cwd=self.directory,
                umask=PRIVATE,
                start_new_session=True,  # Ctrl-C is for the parent, which stops all in order
            ).result()

    def leash(self) -> list[str]:
        """Return what is put before the command so that the child dies with this process."""
        user = "-" if self.user is None else f"{self.user[0]}:{self.user[1]}"
        return [
            *(sys.executable, "-I", "-S", str(_LEASH)),
            *(str(os.getpid()), str(int(self.death_signal)), user),
        ]

    def start(self, timeout_s: float = 30.0) -> None:
        """Start the child and wait until it is ready. Raises :class:`LaunchError`."""
        self.spawn()
        self.wait_ready(timeout_s)

    def wait_ready(self, timeout_s: float = 30.0) -> None:
        """Wait until :meth:`ready`. On failure the child is killed and its last lines are told."""
        deadline = time.monotonic() + timeout_s
        while not self.ready():
            if not self.running:
                code = self.returncode
                raise LaunchError(f"{self.name} ended with {code} at start; {self._last_lines()}")
            if time.monotonic() > deadline:
                self.kill()
                raise LaunchError(
                    f"{self.name} was not ready after {timeout_s:.0f} s; {self._last_lines()}"
                )
            time.sleep(_POLL_S)

    def stop(self, timeout_s: float = 15.0) -> None:
        """Ask the child to stop, wait, and kill it when it takes longer than ``timeout_s``."""
        if self._popen is None:
            return
        self._signal(self.stop_signal)
        try:
            self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """``kill -9``, and wait until it is gone."""
        if self._popen is not None:
            self._signal(signal.SIGKILL)
            self._popen.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self._popen is not None:
            self._popen.send_signal(number)  # does nothing when it has ended

    def _last_lines(self) -> str:
        return f"the last lines of {self.log}:\n{tail(self.log)}"
