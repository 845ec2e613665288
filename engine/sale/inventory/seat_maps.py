"""The seat maps as JSON, made once a publication and then served from memory."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from typing import NamedTuple

import msgspec

from engine.sale.inventory.packed_snapshots import let_others_run
from engine.sale.inventory.schemas import MapCategory, MapRow, MapSeat, MapSection, SeatMapView
from engine.sale.inventory.snapshot import Section, Snapshot

_MAPS_MAX = 64  # occurrences; a stadium of 55,000 seats is 6 MB, and 0.7 MB compressed
_MAKING_MAX = 1  # at the same time: each thread more takes turns away from the event loop
_COMPRESSION = 6
_VERSION_BYTES = 8
_encoder = msgspec.json.Encoder()


class SeatMap(NamedTuple):
    """A map ready to be sent; ``version`` changes with its content."""

    version: str
    body: bytes
    compressed: bytes


class SeatMaps:
    """Makes each map once, however many ask for it at once, and few at the same time."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[Snapshot, asyncio.Task[SeatMap]]] = {}
        self._making = asyncio.Semaphore(_MAKING_MAX)

    async def of(self, snapshot: Snapshot) -> SeatMap:
        """Return the map of an occurrence as it is published now."""
        made = self._made.get(snapshot.occurrence)
        if made is None or made[0] is not snapshot:
            while len(self._made) >= _MAPS_MAX:
                del self._made[next(iter(self._made))]
            made = snapshot, asyncio.create_task(self._make(snapshot))
            self._made[snapshot.occurrence] = made
        return await asyncio.shield(made[1])

    async def _make(self, snapshot: Snapshot) -> SeatMap:
        async with self._making:
            return await asyncio.to_thread(make_map, snapshot)


def make_map(snapshot: Snapshot) -> SeatMap:
    """Return the map, made section by section. Blocks: for a thread, and lets others run."""
    head = SeatMapView(
        version="",
        width=snapshot.width,
        height=snapshot.height,
        focus_x=snapshot.focus_x,
        focus_y=snapshot.focus_y,
        categories=[
            MapCategory(name=category.name, color=category.color)
            for category in snapshot.categories
        ],
        sections=[],
    )
    parts: list[bytes] = []
    for section in snapshot.sections:
        let_others_run()
        parts.append(_encoder.encode(_section(section)))
    seats = b",".join(parts)
    digest = hashlib.blake2b(_encoder.encode(head), digest_size=_VERSION_BYTES)
    digest.update(seats)
    head.version = digest.hexdigest()
    # the list of sections is empty and the last member of the head
    body = _encoder.encode(head).removesuffix(b"]}") + seats + b"]}"
    let_others_run()
    # mtime: the same map is the same bytes in every process
    return SeatMap(head.version, body, gzip.compress(body, _COMPRESSION, mtime=0))


def _section(section: Section) -> MapSection:
    rows, at = [], 0
    for row in section.rows:
        seats = [
            MapSeat(
                guid=seat.guid,
                number=seat.number,
                x=seat.x,
                y=seat.y,
                category=seat.category,
                kind=seat.kind,
            )
            for seat in row.seats
        ]
        rows.append(MapRow(name=row.name, at=at, seats=seats))
        at += len(seats) + 1  # the separator between rows (engine.sale.inventory.layout.positions)
    return MapSection(name=section.name, rows=rows)
