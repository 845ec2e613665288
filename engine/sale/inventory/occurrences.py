"""The published occurrences as a process knows them: snapshots with indexes for fast look-up."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import time

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from engine.core.tasks import end
from engine.platform.jobs.failing import FailingOccurrences
from engine.platform.valkey import keys
from engine.platform.valkey.connections import get
from engine.platform.valkey.errors import StoreUnavailableError
from engine.sale.errors import OccurrenceUnknownError, OccurrenceUnreadableError
from engine.sale.inventory import inspection, layout
from engine.sale.inventory.packed_snapshots import let_others_run
from engine.sale.inventory.snapshot import Seat, Snapshot

log = logging.getLogger(__name__)

_POLL_S = 0.5  # how soon a republication is seen; one GET each time
_BUILDING_MAX = 2  # at the same time: each thread more takes turns away from the event loop
_AGAIN_S = 1.0  # how soon an occurrence that cannot be read is tried again for a list of all


class SeatView(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A seat as people find it in the house; ``guid`` names it in requests."""

    guid: str
    section: str
    row: str
    number: str


class Published:
    """A published occurrence. ``place`` begins its keys.

    ``types``: ticket type code -> index. ``seats``: seat guid -> (section,
    position, category). ``seat_views``: for each section, position -> seat.
    ``only_on_map``: category -> (section, position) of the seats that only who
    chooses them on the map gets.
    """

    __slots__ = (
        "only_on_map",
        "place",
        "seat_views",
        "seats",
        "shard",
        "snapshot",
        "types",
        "version",
    )

    def __init__(self, snapshot: Snapshot, shard: int, version: int) -> None:
        self.snapshot = snapshot
        self.shard = shard
        self.version = version
        self.place = keys.prefix(shard, snapshot.occurrence)
        self.types = {kind.code: i for i, kind in enumerate(snapshot.ticket_types)}
        self.seats: dict[str, tuple[int, int, int]] = {}
        self.seat_views: list[dict[int, SeatView]] = []
        self.only_on_map = layout.only_on_map(snapshot)
        for index, section in enumerate(snapshot.sections):
            let_others_run()  # it is made in a thread
            found: dict[int, SeatView] = {}
            for position, row, seat in layout.positions(section):
                self.seats[seat.guid] = (index, position, seat.category)
                found[position] = _view(section.name, row.name, seat)
            self.seat_views.append(found)


def _view(section: str, row: str, seat: Seat) -> SeatView:
    return SeatView(guid=seat.guid, section=section, row=row, number=seat.number)


class Occurrences:
    """Keeps the published occurrences at hand. ``start`` before use, ``stop`` after.

    An occurrence is loaded when it is first asked for, and again when a
    publication was made. With Redis away, what is loaded stays in use.
    ``failing``: those that are published and cannot be read.
    """

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._loaded: dict[str, Published] = {}
        self._shards: dict[str, int] = {}
        self._catalogue: bytes | None = None
        self._lock = asyncio.Lock()
        self._tried_s: dict[str, float] = {}  # when those that cannot be read were tried last
        self.failing = FailingOccurrences("reading what is published")
        self._loading: dict[str, asyncio.Task[Published]] = {}
        self._building = asyncio.Semaphore(_BUILDING_MAX)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to watch for publications."""
        self._task = asyncio.create_task(self._watch(), name="occurrences")

    async def stop(self) -> None:
        """Stop watching."""
        await end(self._task)
        self._task = None
        for loading in list(self._loading.values()):
            await end(loading)

    def loaded(self, occurrence: str) -> Published | None:
        """Return the occurrence if it is at hand: the hot path's look-up."""
        return self._loaded.get(occurrence)

    async def get(self, occurrence: str) -> Published:
        """Return an occurrence. Raises ``OccurrenceUnknownError``, ``StoreUnavailableError``."""
        found = self._loaded.get(occurrence)
        if found is not None:
            return found
        if occurrence not in self._shards:
            async with self._lock:
                await self._refresh()  # published this moment? one GET says
        loading = self._loading.get(occurrence)
        if loading is None:
            # a stadium takes its time: nobody who asks for another one waits behind it
            loading = asyncio.create_task(self._load(occurrence), name=f"loading-{occurrence}")
            self._loading[occurrence] = loading
            loading.add_done_callback(lambda task: self._loaded_or_not(occurrence, task))
        return await asyncio.shield(loading)

    def _loaded_or_not(self, occurrence: str, task: asyncio.Task[Published]) -> None:
        del self._loading[occurrence]
        if not task.cancelled():
            task.exception()  # whoever waits is told, and nobody may wait any more

    async def reload(self, occurrence: str) -> Published:
        """Return an occurrence as it is published this moment."""
        return await self._load(occurrence)

    async def all(self) -> list[Published]:
        """Return every published occurrence that can be read.

        One that is damaged, half there or withdrawn at this moment is left out.
        Raises ``StoreUnavailableError``.
        """
        if self._catalogue is None:
            async with self._lock:
                await self._refresh()
        found = [await self._readable(occurrence) for occurrence in list(self._shards)]
        return [published for published in found if published is not None]

    async def _readable(self, occurrence: str) -> Published | None:
        published = self._loaded.get(occurrence)
        if published is not None:
            return published
        if time.monotonic() - self._tried_s.get(occurrence, -math.inf) < _AGAIN_S:
            return None
        try:
            return await self.get(occurrence)
        except OccurrenceUnknownError as error:
            self._left_out(occurrence, error)
            return None

    def _left_out(self, occurrence: str, error: OccurrenceUnknownError) -> None:
        if occurrence in self._shards:
            self._tried_s[occurrence] = time.monotonic()
            self.failing.failed(occurrence, error)

    def shards(self) -> dict[str, int]:
        """Return what is known to be published, with shards, without loading anything."""
        return self._shards

    async def _load(self, occurrence: str) -> Published:
        shard = self._shards.get(occurrence)
        if shard is None:
            raise OccurrenceUnknownError
        try:
            configuration = await inspection.read_configuration(self._client, shard, occurrence)
            snapshot = await inspection.read_snapshot(self._client, occurrence)
        except (RedisError, OSError) as error:
            raise StoreUnavailableError(retry_after_s=1) from error
        if snapshot.occurrence != occurrence:
            raise OccurrenceUnreadableError(
                f"what Redis has of occurrence {occurrence} is another one's"
            )
        # building the indexes of 55,000 seats takes some 100 ms: not in the loop's time
        async with self._building:
            found = await asyncio.to_thread(Published, snapshot, shard, configuration.version)
        known = self._loaded.get(occurrence)
        if known is not None and known.version > found.version:
            return known  # a newer one was read meanwhile
        self._loaded[occurrence] = found
        self._tried_s.pop(occurrence, None)
        self.failing.went_well(occurrence)
        gc.freeze()  # it stays: without this every full collection walks through all its seats
        return found

    async def _refresh(self) -> None:
        try:
            catalogue = await get(self._client, keys.CATALOGUE) or b"0"
            if catalogue == self._catalogue:
                return
            self._shards = await inspection.published(self._client)
            for occurrence, before in list(self._loaded.items()):
                if occurrence not in self._shards:
                    del self._loaded[occurrence]
                    continue
                try:
                    await self._renew(occurrence, before)
                except OccurrenceUnknownError as error:
                    del self._loaded[occurrence]
                    self._left_out(occurrence, error)
            self._tried_s.clear()
            self.failing.keep(set(self._shards))
            self._catalogue = catalogue
        except (RedisError, OSError) as error:
            raise StoreUnavailableError(retry_after_s=1) from error

    async def _renew(self, occurrence: str, before: Published) -> None:
        now = await inspection.read_configuration(
            self._client, self._shards[occurrence], occurrence
        )
        if now.version != before.version:
            await self._load(occurrence)

    async def _watch(self) -> None:
        while True:
            try:
                async with self._lock:
                    await self._refresh()
            except StoreUnavailableError as error:
                log.warning("publications cannot be read now: %s", error)
            await asyncio.sleep(_POLL_S)
