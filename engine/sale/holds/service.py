"""Holds: taking stock for a buyer, for a while."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from engine.core.ids import new_id
from engine.core.settings import Settings
from engine.platform.http.idempotency import Idempotency
from engine.platform.valkey.codes import Code
from engine.platform.valkey.lane import Receiver
from engine.platform.valkey.packing import packed_limits
from engine.sale.backlog import Backlog
from engine.sale.commands import Commands
from engine.sale.documents import Hold
from engine.sale.failures import raise_failure
from engine.sale.holds.lines import changed_lines, wanted_lines
from engine.sale.inventory.occurrences import Occurrences, Published
from engine.sale.requests import HoldChange, HoldRequest
from engine.sale.views import HoldView, hold_view

_decode = msgspec.msgpack.Decoder(Hold).decode


class Holds:
    """The buyer's cart. ``buyer``: the token's subject; every hold is reached only through it."""

    def __init__(
        self,
        commands: Commands,
        occurrences: Occurrences,
        backlog: Backlog,
        settings: Settings,
    ) -> None:
        self._limits = packed_limits(
            settings.hold_pause_s * 1000,
            settings.hold_pause_max_s * 1000,
            settings.hold_network_free,
        )
        self._commands = commands
        self._occurrences = occurrences
        self._backlog = backlog

    async def acquire(
        self,
        buyer: str,
        occurrence: str,
        request: HoldRequest,
        idempotency: Idempotency,
        network: str | None = None,
    ) -> HoldView:
        """Hold all lines, or none. The same key and request give the same hold.

        ``network``: that the buyer is of (:func:`engine.queue.gate.networks.network_name`).

        Raises ``LinesUnavailableError`` (every failing line named), ``HoldExistsError``,
        ``HoldPauseError``, ``NotInsideError``, ``NotOnSaleError``, ``SalePausedError``,
        ``IdempotencyMismatchError``, ``BacklogFullError``, ``OverloadedError``,
        ``StoreUnavailableError``.
        """
        published = await self._occurrences.get(occurrence)
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self.request(future, buyer, published, request, idempotency, network)
        return await self.newest_view(published, await future)

    def request(
        self,
        receiver: Receiver,
        buyer: str,
        published: Published,
        request: HoldRequest,
        idempotency: Idempotency,
        network: str | None,
    ) -> None:
        """Ask for a hold; what the receiver is given is for :meth:`view`. See :meth:`acquire`."""
        self._backlog.check()
        budget = self._limits
        if network is not None:
            budget += bytes.fromhex(network)
        self._commands.acquire_for(
            receiver,
            published.place,
            buyer,
            new_id(),
            idempotency.key_digest,
            idempotency.body_digest,
            wanted_lines(published, request.lines),
            budget,
        )

    @staticmethod
    def view(published: Published, answer: list[Any]) -> HoldView:
        """Return the hold of an answer, or raise the error that the answer stands for.

        Raises ``IndexError`` for a hold of what a newer publication has added.
        """
        if answer[0] != Code.OK:
            raise_failure(published, answer)
        return hold_view(published, _decode(answer[1]), answer[2], answer[3])

    async def read(self, buyer: str, occurrence: str, hold: str) -> HoldView:
        """Return the buyer's hold. Raises ``HoldUnknownError``, ``HoldExpiredError``."""
        published = await self._occurrences.get(occurrence)
        answer = await self._commands.read(published.place, "h", hold, buyer)
        return await self.newest_view(published, answer)

    async def change(
        self,
        buyer: str,
        occurrence: str,
        hold: str,
        change: HoldChange,
        idempotency: Idempotency | None,
    ) -> HoldView:
        """Add and remove, together or not at all; an addition gives the hold its full time."""
        published = await self._occurrences.get(occurrence)
        if change.add:
            self._backlog.check()
        add, remove = changed_lines(published, change)
        answer = await self._commands.change(
            published.place,
            buyer,
            hold,
            idempotency.key_digest if idempotency else b"",
            idempotency.body_digest if idempotency else bytes(16),
            add,
            remove,
        )
        return await self.newest_view(published, answer)

    async def extend(
        self, buyer: str, occurrence: str, hold: str, idempotency: Idempotency
    ) -> HoldView:
        """Give the hold its full time again, never past its longest time."""
        published = await self._occurrences.get(occurrence)
        answer = await self._commands.extend(
            published.place, buyer, hold, idempotency.key_digest, idempotency.body_digest
        )
        return await self.newest_view(published, answer)

    async def release(self, buyer: str, occurrence: str, hold: str) -> None:
        """Give everything back. What has run out or was released before is released as well."""
        published = await self._occurrences.get(occurrence)
        answer = await self._commands.release(published.place, buyer, hold)
        if answer[0] != Code.OK:
            raise_failure(published, answer)

    async def read_for_order(
        self, published: Published, buyer: str, hold: str
    ) -> tuple[Hold | None, str]:
        """Return the hold that an order is to be made of; or None and the order it has become.

        Raises ``HoldUnknownError``, ``HoldExpiredError``.
        """
        answer = await self._commands.read(published.place, "h", hold, buyer)
        if answer[0] == Code.OK:
            return _decode(answer[1]), ""
        if answer[0] != Code.HOLD_ENDED or not answer[2]:
            raise_failure(published, answer)
        return None, answer[2].decode()

    async def newest_view(self, published: Published, answer: list[Any]) -> HoldView:
        """Return :meth:`view`, by a newer publication if that is needed."""
        try:
            return self.view(published, answer)
        except IndexError:
            newest = await self._occurrences.reload(published.snapshot.occurrence)
            return self.view(newest, answer)
