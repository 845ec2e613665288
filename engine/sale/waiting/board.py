"""The state of a line that everybody shares, read once for all who ask in the same moment."""

from __future__ import annotations

from collections import deque
from functools import cached_property

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from engine.core import draw
from engine.core.errors import StoreUnavailableError
from engine.core.proof_of_work import JoinRate
from engine.core.times import rfc3339
from engine.core.waiting import Queue
from engine.sale import stock
from engine.sale.occurrences import Occurrences, Published
from engine.sale.waiting import forecast
from engine.sale.waiting.serving import LeftView, LineState, ServingView, stamped
from engine.store import inspection, waiting
from engine.store.waiting import QueueState

RATE_WINDOW_MS = 60_000  # sale clock; what people call "lately"
_RATE_SAMPLES_MAX = 60  # one a second: 7 KiB a line
_RATE_LEAST_MS = 3_000  # of history, before a measured rate is believed
_PLACES_STEP_MS = 2_000  # joining alone is told so seldom: it concerns nobody who waits

_encoder = msgspec.json.Encoder()


class Board:
    """A line at one moment. ``calls_per_s``: lately; ``most_calls_per_s``: the operator's rate.

    ``joins_per_s``: joins within all soft budgets, lately.
    ``free``: tickets that can be had, ``held``: in carts, ``sold``. ``wall_ms``: the store's clock.
    """

    def __init__(
        self,
        published: Published,
        state: QueueState,
        *,
        key: bytes | None,
        free: int,
        held: int,
        sold: int,
        calls_per_s: float,
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
        self.free, self.held, self.sold = free, held, sold
        self.calls_per_s = calls_per_s
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
        self._served: deque[tuple[int, int]] = deque(maxlen=_RATE_SAMPLES_MAX)
        self._joined = JoinRate()
        self._places, self._places_at = 0, 0

    async def __call__(self) -> Board:
        """Return the line as it is now. Raises ``OccurrenceUnknownError`` and the like."""
        published = await self._occurrences.get(self._occurrence)
        shard, snapshot = published.shard, published.snapshot
        try:
            state = await waiting.read_queue(self._client, shard, self._occurrence)
            counters = await self._counters(published)
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
        free = {name: counter.free for name, counter in counters.items()}
        lefts = {
            kind.code: stock.left(snapshot, kind, free, state.wall_ms)
            for kind in snapshot.ticket_types
        }
        pools = {name for kind in snapshot.ticket_types for name in stock.pools(snapshot, kind)[:1]}
        held = sum(counters[name].held for name in pools if name in counters)
        sold = sum(counters[name].sold for name in pools if name in counters)
        total = stock.total_left(snapshot, lefts)
        calls_per_s = self._calls_per_s(state)
        return Board(
            published,
            state,
            key=self._key,
            free=total,
            held=held,
            sold=sold,
            calls_per_s=calls_per_s,
            joins_per_s=self._joined.see(state.queue.joined, state.wall_ms / 1000),
            serving=self._serving(published, state, lefts, free, calls_per_s, total + held == 0),
        )

    async def _counters(self, published: Published) -> dict[str, inspection.Counter]:
        found = await inspection.read_counters(self._client, published.shard, self._occurrence)
        return {counter.key: counter for counter in found}

    def _calls_per_s(self, state: QueueState) -> float:
        """Return the calls lately; what the operator allows while there is no history."""
        samples, now, served = self._served, state.now_ms, state.queue.served
        if samples and (now < samples[-1][0] or served < samples[-1][1]):
            samples.clear()  # the store was rebuilt, or its clock set back
        if not samples or now - samples[-1][0] >= RATE_WINDOW_MS / _RATE_SAMPLES_MAX:
            samples.append((now, served))
        while now - samples[0][0] > RATE_WINDOW_MS:
            samples.popleft()
        since = now - samples[0][0]
        if since < _RATE_LEAST_MS or state.queue.drawn < 0:
            return state.queue.rate * 1000 / state.queue.rate_ms
        return (served - samples[0][1]) * 1000 / since

    def _serving(
        self,
        published: Published,
        state: QueueState,
        lefts: dict[str, int],
        free: dict[str, int],
        calls_per_s: float,
        sold_out: bool,
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
                calls_per_minute=_rounded(calls_per_s * 60),
                left=[
                    LeftView(
                        ticket_type=kind.code,
                        name=kind.name,
                        left=lefts[kind.code],
                        price_from=None
                        if (tier := stock.current_tier(kind, free, state.wall_ms)) is None
                        else tier.price,
                    )
                    for kind in snapshot.ticket_types
                ],
                currency=snapshot.currency,
                sold_out=sold_out,
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
