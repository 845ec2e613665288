"""What health is answered with."""

from __future__ import annotations

from typing import Literal

import msgspec


class Alive(msgspec.Struct, kw_only=True):
    """The process answers."""

    status: Literal["up"] = "up"


class Ready(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Ready depends on Redis alone; selling goes on while PostgreSQL is down.

    ``redis`` is "refusing" when it answers and takes no writes; ``reason``: why it is not ready.
    ``postgres`` is what the worker last said: "unknown" when no worker has said anything lately.
    """

    status: Literal["ready", "not_ready"]
    redis: Literal["up", "down", "refusing"]
    worker: Literal["up", "down", "unknown"]
    postgres: Literal["up", "down", "unknown"]
    reason: str | None = None
