"""The waiting room: joining, asking, entering, leaving, and what operators do to it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from engine.core.errors import ConflictError, InvalidRequestError, NotFoundError
from engine.core.times import rfc3339
from engine.platform.http.errors import TooManyRequestsError
from engine.platform.valkey.codes import Code
from engine.platform.valkey.errors import StoreUnavailableError
from engine.platform.valkey.lane import Receiver
from engine.queue import store as waiting
from engine.queue.documents import Queue
from engine.queue.draw import numbers as draw
from engine.queue.errors import NotCalledError, NotInQueueError, PlaceExpiredError, QueueClosedError
from engine.queue.gate.budgets import Budget
from engine.queue.handover import Remaining, remaining
from engine.queue.live.board import Board
from engine.queue.live.boards import Boards
from engine.queue.views import DrawView, QueueView, draw_view, place_view
from engine.sale.commands import Commands
from engine.sale.errors import OccurrenceUnknownError
from engine.sale.inventory.occurrences import Occurrences, Published

_queue = msgspec.msgpack.Decoder(Queue)
_TRIES = 3  # a place that its buyer changes on two devices at once
_OVER = {"done", "expired"}

_CLOSED = {
    "off": "No line is in front of this sale: hold tickets directly",
    "early": "It is too early to join this line",
    "draining": "Nobody can join this line any more; those in it are still called",
    "closed": "This line is closed",
}
_EXPIRED = {
    "no_show": "You were called and did not enter in time: join again",
    "done": "You have bought what you came for: join again for more",
    "left": "You have left: join again",
    "expired": "Your time inside is over: join again",
}


class WaitingRoom:
    """``buyer``: the token's subject.

    Every method raises ``OccurrenceUnknownError``, ``OverloadedError``, ``StoreUnavailableError``.
    """

    def __init__(
        self,
        commands: Commands,
        occurrences: Occurrences,
        client: Redis,
        *,
        interval_s: float,
        boards_max: int,
    ) -> None:
        self._commands = commands
        self._occurrences = occurrences
        self._client = client
        self.boards = Boards(client, occurrences, interval_s, boards_max)

    async def stop(self) -> None:
        """Let readings that are under way end."""
        await self.boards.stop()

    async def board(self, occurrence: str) -> Board:
        """Return what everybody shares, at most the reading interval old."""
        return await self.boards.get(occurrence)

    async def join(self, buyer: str, occurrence: str, budgets: Sequence[Budget] = ()) -> QueueView:
        """Return the buyer's place, a new one if there is none or the old one is over.

        Raises ``QueueClosedError``, ``TooManyRequestsError``.
        """
        published = await self._occurrences.get(occurrence)
        leaf = draw.leaf(occurrence, buyer)
        answer = await self._commands.queue_join(published.place, buyer, leaf, packed(budgets))
        return await self.joined(published, buyer, answer, budgets)

    def ask_to_join(
        self, receiver: Receiver, buyer: str, published: Published, budgets: Sequence[Budget]
    ) -> None:
        """Ask for a place; what the receiver is given is for :meth:`waiting_view`."""
        leaf = draw.leaf(published.snapshot.occurrence, buyer)
        self._commands.queue_join_for(receiver, published.place, buyer, leaf, packed(budgets))

    async def joined(
        self,
        published: Published,
        buyer: str,
        answer: list[Any],
        budgets: Sequence[Budget] = (),
    ) -> QueueView:
        """Return the place that joining has answered with; a new one where that is over."""
        view = await self.view(published, buyer, answer)
        if view.state not in _OVER:
            return view
        leaf = draw.leaf(published.snapshot.occurrence, buyer)
        answer = await self._commands.queue_join(
            published.place, buyer, leaf, packed(budgets), answer[1]
        )
        return await self.view(published, buyer, answer)

    def look(self, receiver: Receiver, buyer: str, published: Published) -> None:
        """Ask for the buyer's place; what the receiver is given is for :meth:`waiting_view`."""
        self._commands.queue_look_for(receiver, published.place, buyer, 0)

    def waiting_view(self, published: Published, answer: list[Any]) -> QueueView | None:
        """Return the place of one who waits, without waiting; None: it takes :meth:`view`.

        Raises what refusing says.
        """
        if answer[0] != Code.OK:
            raise_refusal(published, answer)
        index, drawn, served = answer[1], answer[2], answer[3]
        board = self.boards.at_hand(published.snapshot.occurrence)
        if board is None or (drawn >= 0) != (board.queue.drawn >= 0):
            return None
        number = board.number(index)
        if number is not None and number <= served:
            return None
        return place_view(board, index, served, None)

    async def status(self, buyer: str, occurrence: str) -> QueueView:
        """Return the buyer's place. Raises ``NotInQueueError``."""
        published = await self._occurrences.get(occurrence)
        answer = await self._commands.queue_look(published.place, buyer, 0)
        return await self.view(published, buyer, answer)

    async def statuses(self, buyers: Sequence[str], occurrence: str) -> list[QueueView | None]:
        """Return the places of many buyers; None for those who have none."""
        return list(await asyncio.gather(*(self._status(buyer, occurrence) for buyer in buyers)))

    async def _status(self, buyer: str, occurrence: str) -> QueueView | None:
        try:
            return await self.status(buyer, occurrence)
        except NotInQueueError:
            return None

    async def enter(self, buyer: str, occurrence: str) -> QueueView:
        """Give the buyer his pass. Entering twice is entering once.

        Raises ``NotInQueueError``, ``NotCalledError``, ``PlaceExpiredError``, ``QueueClosedError``.
        """
        published = await self._occurrences.get(occurrence)
        for _ in range(_TRIES):
            index, number = await self._place(published, buyer)
            if number == 0:
                raise NotCalledError("The line has not been drawn yet: wait for its opening")
            answer = await self._commands.queue_enter(published.place, buyer, index, number)
            if answer[0] != Code.NO_PLACE:
                break
        if answer[0] != Code.OK:
            raise_refusal(published, answer)
        return await self.status(buyer, occurrence)

    async def leave(self, buyer: str, occurrence: str) -> None:
        """Give the place up, and the pass; who has none has left already."""
        published = await self._occurrences.get(occurrence)
        for _ in range(_TRIES):
            try:
                index, number = await self._place(published, buyer)
            except NotInQueueError:
                return
            answer = await self._commands.queue_leave(published.place, buyer, index, number)
            if answer[0] == Code.OK:
                return
            if answer[0] != Code.NO_PLACE:
                raise_refusal(published, answer)

    async def draw(self, occurrence: str) -> DrawView:
        """Return what makes the draw verifiable."""
        published = await self._occurrences.get(occurrence)
        try:
            found = await waiting.read_draw(self._client, published.shard, occurrence)
        except (RedisError, OSError) as error:
            raise StoreUnavailableError(retry_after_s=1) from error
        return draw_view(occurrence, found)

    async def roster(self, occurrence: str, start: int, count: int) -> bytes:
        """Return the leaves of ``count`` places from index ``start`` on, 16 bytes each.

        Fewer at the end of the roster. Raises ``NotFoundError`` before the draw.
        """
        published = await self._occurrences.get(occurrence)
        try:
            found = await waiting.read_draw(self._client, published.shard, occurrence)
            if not found.digest:
                raise NotFoundError("The roster is published when the line has been drawn")
            count = max(min(count, found.n - start), 0)
            if count == 0:
                return b""
            return await waiting.read_roster(
                self._client, published.shard, occurrence, start, count
            )
        except (RedisError, OSError) as error:
            raise StoreUnavailableError(retry_after_s=1) from error

    async def remaining(self, occurrence: str) -> list[Remaining]:
        """Return all who still wait, the next one first; ``ConflictError`` before the draw."""
        return await remaining(self._client, await self._occurrences.get(occurrence))

    async def command(
        self, occurrence: str, actor: str, command: str, values: Mapping[str, int] | None = None
    ) -> Queue:
        """Do what an operator says: open, drain, close, on, off, or set ``values``.

        Raises ``InvalidRequestError``, ``ConflictError`` when the room is off.
        """
        published = await self._occurrences.get(occurrence)
        answer = await self._commands.queue_command(published.place, actor, command, values or {})
        if answer[0] == Code.CONFLICT:
            raise ConflictError("The waiting room is off: switch it on first")
        if answer[0] == Code.INVALID:
            raise InvalidRequestError("Such a command, or such a value, does not exist")
        if answer[0] != Code.OK:
            raise_refusal(published, answer)
        return _queue.decode(answer[1])

    async def _place(self, published: Published, buyer: str) -> tuple[int, int]:
        """Return the index and the number (0 before the draw) of the buyer's place."""
        answer = await self._commands.queue_look(published.place, buyer, 0)
        if answer[0] != Code.OK:
            raise_refusal(published, answer)
        index, drawn = answer[1], answer[2]
        board = await self._board_of(published, drawn)
        return index, board.number(index) or 0

    async def view(self, published: Published, buyer: str, answer: list[Any]) -> QueueView:
        """Return the place that the store has answered with, or raise what it refuses with."""
        if answer[0] != Code.OK:
            raise_refusal(published, answer)
        index, drawn, served = answer[1], answer[2], answer[3]
        board = await self._board_of(published, drawn)
        number = board.number(index)
        called = None
        if number is not None and number <= served:
            answer = await self._commands.queue_look(published.place, buyer, number)
            if answer[0] != Code.OK:
                raise_refusal(published, answer)
            called = answer[4] or None
        return place_view(board, index, served, called)

    async def _board_of(self, published: Published, drawn: int) -> Board:
        """Return a board that knows of the draw if the store does."""
        occurrence = published.snapshot.occurrence
        board = await self.boards.get(occurrence)
        if drawn >= 0 and board.queue.drawn < 0:
            board = await self.boards.get(occurrence, newest=True)
        return board


def packed(budgets: Sequence[Budget]) -> list[tuple[bytes, int, int]]:
    """Return budgets as the script takes them."""
    return [(budget.name, budget.soft, budget.hard) for budget in budgets]


def raise_refusal(published: Published, answer: list[Any]) -> NoReturn:
    """Raise the error that an answer of a queue command other than OK stands for."""
    code = answer[0]
    if code == Code.QUEUE_CLOSED:
        reason, opens_in_ms = answer[1].decode(), answer[2]
        room = published.snapshot
        extra: dict[str, Any] = {"reason": reason}
        if opens_in_ms:
            opens = room.sale_starts_at if room.room.opens_at is None else room.room.opens_at
            extra |= {"joining_in_ms": opens_in_ms, "opens_at": rfc3339(opens)}
        raise QueueClosedError(
            _CLOSED[reason],
            retry_after_s=-(-opens_in_ms // 1000) if opens_in_ms else None,
            **extra,
        )
    if code == Code.BUDGET:
        raise TooManyRequestsError(
            "Too many have joined from where you are: wait, and try again",
            retry_after_s=-(-answer[1] // 1000),
        )
    if code == Code.PLACE_EXPIRED:
        how = answer[1].decode()
        raise PlaceExpiredError(_EXPIRED[how], how=how)
    if code == Code.NO_PLACE:
        raise NotInQueueError("You have no place in this line: join it")
    if code == Code.NOT_CALLED:
        raise NotCalledError
    if code == Code.NOT_PUBLISHED:
        raise OccurrenceUnknownError
    raise InvalidRequestError
