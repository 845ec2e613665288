"""Budgets that belong to no occurrence: ``{sNN}:budget:<name>``."""

from __future__ import annotations

from collections.abc import Sequence

from engine.core.errors import InvalidRequestError
from engine.platform.http.errors import TooManyRequestsError
from engine.platform.valkey import keys
from engine.platform.valkey.batcher import Batcher
from engine.platform.valkey.codes import Code


async def take_budgets(
    batcher: Batcher,
    shard: int,
    budgets: Sequence[tuple[bytes, int]],
    window_ms: int,
    refusal: str,
) -> None:
    """Count one of each of some names, or of none when one of them is used up.

    ``shard``: where they are counted, the same each time. ``budgets``: names (8 bytes) with
    how many there are in a window that the first begins; at most 8. Raises
    ``TooManyRequestsError``, which says ``refusal`` and when the window ends,
    ``OverloadedError``, ``StoreUnavailableError``.
    """
    request: list[int | str] = [window_ms]
    for name, limit in budgets:
        request += [name.hex(), limit]
    answer = await batcher.submit("budget_take", f"{keys.shard_tag(shard)}:budget", request)
    if answer[0] == Code.BUDGET:
        raise TooManyRequestsError(refusal, retry_after_s=-(-answer[1] // 1000))
    if answer[0] != Code.OK:
        raise InvalidRequestError("This budget cannot be counted: its limit is out of range")
