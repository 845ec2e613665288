"""Budgets that belong to no occurrence: ``{sNN}:budget:<name>``."""

from __future__ import annotations

from engine.core.errors import InvalidRequestError, TooManyRequestsError
from engine.store import keys
from engine.store.batcher import Batcher
from engine.store.codes import Code


async def take_budget(batcher: Batcher, name: bytes, limit: int, window_ms: int) -> None:
    """Count one of ``name`` (8 bytes); there are ``limit`` in a window that the first begins.

    Raises ``TooManyRequestsError``, which says when the window ends, ``OverloadedError``,
    ``StoreUnavailableError``.
    """
    place = f"{keys.shard_tag(name[0] % keys.SHARD_COUNT)}:budget"
    answer = await batcher.submit("budget_take", place, (name.hex(), limit, window_ms))
    if answer[0] == Code.BUDGET:
        raise TooManyRequestsError(
            "Too many new guests come from this network: try again later",
            retry_after_s=-(-answer[1] // 1000),
        )
    if answer[0] != Code.OK:
        raise InvalidRequestError("This budget cannot be counted: its limit is out of range")
