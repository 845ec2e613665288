"""The state of a line that everybody shares, read once for all who ask in the same moment."""

from __future__ import annotations

from functools import cached_property

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from engine.core.times import rfc3339
from engine.platform.valkey.errors import StoreUnavailableError
from engine.queue import store as waiting
from engine.queue.documents import Queue
from engine.queue.draw import numbers as draw
from engine.queue.gate.proof_of_work import JoinRate
from engine.queue.live import forecast
from engine.queue.live.forecast import Eta, Limit
from engine.queue.live.pace import Pace, PaceMeter
from engine.queue.live.serving import LineState, ServingView, stamped
from engine.queue.live.supply import Supply, supply
from engine.queue.store import QueueState
from engine.sale.inventory.occurrences import Occurrences, Published
from engine.sale.inventory.stock_reading import read

_PLACES_STEP_MS = 2_000  # joining alone is told so seldom: it concerns nobody who waits

_encoder = msgspec.json.Encoder()


class Board:
    """A line at one moment. ``pace``: lately; ``most_calls_per_s``: the operator's rate.

    ``free``: tickets that can be had, ``by_map``: with those that are chosen on the map only,
    ``held``: in carts, ``sold``. While nothing can be had they are those of ``on_sale_ms``, the
    moment from which on something can. ``wall_ms``: the store's clock. ``changes_ms``: when the
    clock changes what can be had.
    ``joins_per_s``: joins within all soft budgets, lately.
    """

    def __init__(
        self,
        published: Published,
        state: QueueState,
        *,
        key: bytes | None,
        supply: Supply,
        pace: Pace,
        joins_per_s: float,
        serving: ServingView,
    ) -> None:
        self.occurrence = published.snapshot.occurrence
        self.published = published
        self.queue: Queue = state.queue
        self.packed = state.packed
        self.paused = state.paused
        self.called = state.called
        self.now_ms = state.now_ms
        self.wall_ms = state.wall_ms
        self.free, self.by_map = supply.free, supply.by_map
        self.held, self.sold = supply.held, supply.sold
        self.on_sale_ms, self.changes_ms = supply.on_sale_ms, supply.changes_ms
        self.pace = pace
        self.joins_per_s = joins_per_s
        self.most_calls_per_s = state.queue.rate * 1000 / state.queue.rate_ms
        self.serving = serving
        self._key = key
        self._chances: dict[int, int] = {}

    @property
    def version(self) -> int:
        """Another one: another document."""
        return self.serving.version

    @cached_property
    def body(self) -> bytes:
        """The document as JSON."""
        return _encoder.encode(self.serving)

    @property
    def opens_in_ms(self) -> int:
        """In how many ms the line opens; 0: it has, or does this moment."""
        return max(self.queue.opens - self.wall_ms, 0)

    @property
    def closed(self) -> bool:
        """Whether nobody is called: the line is closed, the sale over, or the room switched off."""
        over = self.wall_ms >= self.published.snapshot.sale_ends_at
        return self.queue.phase == "closed" or over or not self.queue.on

    def slot(self, index: int) -> int:
        """Return the place in the roster of an index as Lua keeps it; after the draw only."""
        return index if index >= 0 else self.queue.drawn - index - 1

    def number(self, index: int) -> int | None:
        """Return the number of the place with this index; None before the draw."""
        if self._key is None:
            return None
        return draw.number(self._key, self.queue.drawn, self.slot(index))

    def eta(self, ahead: int) -> Eta | None:
        """Return when one with so many ahead in line will be called; None: it cannot be told."""
        return forecast.eta(
            ahead, self.pace.calls_per_s, self.most_calls_per_s, self._limits, self._starts_in_ms
        )

    @cached_property
    def _limits(self) -> tuple[Limit, ...]:
        """What holds the line up beside the rate: the cap, and the stock when it is nearly gone."""
        per_s = min(self.most_calls_per_s, self.pace.calls_per_s)
        short = forecast.stock_limit(self.by_map, self.held, self._undecided, per_s, self.outlook)
        return (self.pace.cap,) if short is None else (self.pace.cap, short)

    @cached_property
    def _starts_in_ms(self) -> int:
        starts = max(self.on_sale_ms, self.published.snapshot.sale_starts_at)
        return max(starts - self.wall_ms, 0)

    def chance(self, ahead: int) -> int:
        """Return the chance of one with so many ahead in line, in percent."""
        found = self._chances.get(ahead)
        if found is None:
            outlook = self.outlook
            found = self._chances[ahead] = forecast.chance(
                ahead + self._undecided, self.free, forecast.coming_back(self.held), outlook
            )
        return found

    def chance_before_draw(self) -> int:
        """Return the chance of one whose place is still to be drawn, in percent."""
        return self._chance_before_draw

    @cached_property
    def _chance_before_draw(self) -> int:
        return forecast.chance_before_draw(
            self.queue.count, self.free, forecast.coming_back(self.held), self.outlook
        )

    @cached_property
    def outlook(self) -> forecast.Outlook:
        """What becomes of the called, as far as it has been seen."""
        queue = self.queue
        ended = queue.no_shows + queue.entered - queue.inside
        return forecast.outlook(queue.done, ended, self.sold)

    @cached_property
    def _undecided(self) -> int:
        """The called, and those inside who have nothing in their carts yet."""
        carts = round(self.held / max(self.outlook.tickets, 1))
        return self.called + max(self.queue.inside - carts, 0)


class BoardReader:
    """Reads the board of one occurrence; its owner never asks twice at once."""

    def __init__(self, client: Redis, occurrences: Occurrences, occurrence: str) -> None:
        self._client = client
        self._occurrences = occurrences
        self._occurrence = occurrence
        self._key: bytes | None = None
        self._pace = PaceMeter()
        self._joined = JoinRate()
        self._places, self._places_at = 0, 0

    async def __call__(self) -> Board:
        """Return the line as it is now. Raises ``OccurrenceUnknownError`` and the like."""
        published = await self._occurrences.get(self._occurrence)
        shard, snapshot = published.shard, published.snapshot
        try:
            state = await waiting.read_queue(self._client, shard, self._occurrence)
            reading = await read(self._client, published)
            if state.queue.drawn < 0:
                self._key = None
            elif self._key is None:
                found = await waiting.read_draw(self._client, shard, self._occurrence)
                if found.digest:
                    self._key = draw.draw_key(
                        bytes.fromhex(found.seed), bytes.fromhex(found.digest)
                    )
        except (RedisError, OSError) as error:
            raise StoreUnavailableError(retry_after_s=1) from error
        offered = supply(snapshot, reading, state.wall_ms)
        pace = self._pace.note(state, hold_ms_max=snapshot.hold_ttl_ms_max)
        return Board(
            published,
            state,
            key=self._key,
            supply=offered,
            pace=pace,
            joins_per_s=self._joined.see(state.queue.joined, state.wall_ms / 1000),
            serving=self._serving(published, state, offered, pace),
        )

    def _serving(
        self,
        published: Published,
        state: QueueState,
        offered: Supply,
        pace: Pace,
    ) -> ServingView:
        queue, snapshot = state.queue, published.snapshot
        places = max(queue.count + (queue.slow if queue.drawn < 0 else 0) - queue.gone, 0)
        if abs(state.wall_ms - self._places_at) >= _PLACES_STEP_MS:
            self._places, self._places_at = places, state.wall_ms
        view = stamped(
            ServingView(
                version=0,
                state=_line_state(state, snapshot.sale_ends_at, drawn=self._key is not None),
                serving=queue.served,
                places=self._places,
                waiting=max(self._places - queue.served, 0),
                calls_per_minute=_rounded(pace.calls_per_s * 60),
                left=offered.left,
                currency=snapshot.currency,
                sold_out=offered.sold_out,
                opens_at=rfc3339(queue.opens),
                opens_in_ms=None,
                joining_in_ms=None,
                drawn=self._key is not None,
            )
        )
        if queue.phase == "planned":
            view.opens_in_ms = max(queue.opens - state.wall_ms, 0)
        if view.state == "planned":
            view.joining_in_ms = max(queue.opens - queue.pre_ms - state.wall_ms, 0)
        return view


def _rounded(rate: float) -> int:
    """Return a rate to two digits: what changes with every reading would be told to everybody."""
    return int(float(f"{rate:.2g}"))


def _line_state(state: QueueState, ends_at: int, *, drawn: bool) -> LineState:
    queue = state.queue
    if not queue.on:
        return "off"
    if queue.phase == "closed" or state.wall_ms >= ends_at:
        return "closed"
    if queue.phase == "planned" and state.wall_ms < queue.opens - queue.pre_ms:
        return "planned"
    if queue.phase == "draining" and not state.paused:
        return "draining"
    if queue.phase == "planned" or not drawn:
        return "pre-queue"
    return "paused" if state.paused else "open"
