"""What ``onsale up`` keeps in its data directory: a lock, secrets, ports, and the addresses.

lock               held while an ``up`` runs here
installation.json  secrets, made once, and the ports of the last run (owner only)
env                KEY=VALUE addresses of the running system, for the other commands (owner only)
valkey/ postgres/ stripe.journal mail/ log/
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from devkit.processes import LaunchError, free_port, is_port_free, make_private

_SECRET_BYTES = 32
_MADE_BY_UP = (
    *("valkey", "postgres", "stripe.journal", "mail", "log"),
    *("env", "installation.json", "postgres.log"),
)


class _State(msgspec.Struct):
    secrets: dict[str, str] = {}
    ports: dict[str, int] = {}


class Installation:
    """The data directory of one ``onsale up``. Everything in it can be thrown away."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self._file = self.directory / "installation.json"

    @property
    def env_file(self) -> Path:
        """Where the addresses of the running system are."""
        return self.directory / "env"

    def log(self, name: str) -> Path:
        """Return the log file of a part."""
        return self.directory / "log" / f"{name}.log"

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Make the directory and hold it alone. Raises :class:`LaunchError` when another has it."""
        if not self.directory.exists():
            self.directory.mkdir(parents=True)
            # others may pass through, as PostgreSQL's user does, and see nothing
            self.directory.chmod(0o711)
        with (self.directory / "lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise LaunchError(
                    f"another `onsale up` (pid {file.read().strip()}) runs on {self.directory}:"
                    " stop it, or give this one another directory with --data"
                ) from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    def clear(self) -> None:
        """Remove what earlier runs left, and nothing else that may be in the directory."""
        for name in _MADE_BY_UP:
            path = self.directory / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def clear_logs(self) -> None:
        """Remove the logs of the run before, so that they do not grow for ever."""
        shutil.rmtree(self.directory / "log", ignore_errors=True)
        make_private(self.directory / "log")

    def secret(self, name: str) -> str:
        """Return the secret of that name, made at first use (URL-safe, 43 characters)."""
        state = self._read()
        if name not in state.secrets:
            state.secrets[name] = secrets.token_urlsafe(_SECRET_BYTES)
            self._write(state)
        return state.secrets[name]

    def port(self, name: str) -> int:
        """Return a free port for a part: that of the last run if nothing listens there now."""
        state = self._read()
        port = state.ports.get(name)
        if port is None or not is_port_free(port):
            port = state.ports[name] = free_port()
            self._write(state)
        return port

    def write_addresses(self, variables: Mapping[str, str]) -> None:
        """Tell the other commands where everything is."""
        _write_private(
            self.env_file, "".join(f"{name}={value}\n" for name, value in variables.items())
        )

    def forget_addresses(self) -> None:
        """Say that the system does not run any more."""
        self.env_file.unlink(missing_ok=True)

    def _read(self) -> _State:
        if not self._file.exists():
            return _State()
        return msgspec.json.decode(self._file.read_bytes(), type=_State)

    def _write(self, state: _State) -> None:
        _write_private(self._file, msgspec.json.encode(state).decode())


def _write_private(file: Path, text: str) -> None:
    unfinished = file.with_suffix(".unfinished")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
    unfinished.replace(file)
