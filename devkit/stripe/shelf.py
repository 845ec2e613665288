"""Objects of one kind in order of creation, and the pages that lists are read in."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Generic, TypeVar

from devkit.stripe.errors import ApiError, invalid, missing
from devkit.stripe.forms import Params
from devkit.stripe.objects import Charge, Dispute, Event, Intent, Method, Refund

T = TypeVar("T", Intent, Charge, Method, Refund, Dispute, Event)
_LIMIT_DEFAULT = 10
_LIMIT_MAX = 100
_SLACK = 1_024  # forgotten places that are kept before the list is cut


class Shelf(Generic[T]):
    """At most ``limit`` objects; the oldest makes room if it may ``forget``, else it is full."""

    def __init__(self, kind: str, *, limit: int, forget: bool = False) -> None:
        self._kind = kind
        self._limit = limit
        self._forget = forget
        self._items: dict[str, T] = {}
        self._order: list[T] = []
        self._place: dict[str, int] = {}  # index in _order, plus what was cut
        self._cut = 0
        self._start = 0  # first index in _order that is not forgotten

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[T]:
        return islice(self._order, self._start, None)

    def find(self, item: str) -> T | None:
        """Return the object, or None."""
        return self._items.get(item)

    def get(self, item: str, param: str | None = None) -> T:
        """Return the object. Raises :class:`ApiError` (404)."""
        found = self._items.get(item)
        if found is None:
            raise missing(self._kind, item, param or "id")
        return found

    def check_room(self) -> None:
        """Raise :class:`ApiError` when nothing more can be kept."""
        if not self._forget and len(self._items) >= self._limit:
            raise ApiError(
                400,
                "invalid_request_error",
                f"The look-alike keeps at most {self._limit} of {self._kind}: start it anew",
            )

    def put(self, item: T) -> None:
        """Add the object, or replace the one with its id (when the journal is replayed)."""
        if item.id in self._items:
            self._order[self._place[item.id] - self._cut] = item
        else:
            self._place[item.id] = self._cut + len(self._order)
            self._order.append(item)
        self._items[item.id] = item
        if self._forget and len(self._items) > self._limit:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        oldest = self._order[self._start]
        del self._items[oldest.id]
        del self._place[oldest.id]
        self._start += 1
        if self._start >= _SLACK:
            del self._order[: self._start]
            self._cut += self._start
            self._start = 0

    def page(
        self,
        params: Params,
        keep: Callable[[T], bool] | None = None,
        within: Iterable[str] | None = None,
    ) -> tuple[list[T], bool]:
        """Return a page, newest first, and whether there is more.

        Reads limit, starting_after, ending_before and created from ``params``.
        ``within``: the ids of the only candidates, oldest first. ``keep``
        filters.
        """
        items = self._order if within is None else [self._items[item] for item in within]
        start = self._start if within is None else 0
        low, high = _created_bounds(params, items, start)
        limit = params.integer("limit")
        limit = _LIMIT_DEFAULT if limit is None else limit
        if not 1 <= limit <= _LIMIT_MAX:
            raise invalid(f"limit must be from 1 to {_LIMIT_MAX}", param="limit")
        after, before = params.text("starting_after"), params.text("ending_before")
        if after and before:
            raise invalid("Give starting_after or ending_before, not both", param="ending_before")
        if after:
            high = min(high, self._index(after, "starting_after", items, within is None))
        if before:
            low = max(low, self._index(before, "ending_before", items, within is None) + 1)
        places: Iterable[int] = range(low, high) if before else range(high - 1, low - 1, -1)
        chosen = (items[place] for place in places if keep is None or keep(items[place]))
        page = list(islice(chosen, limit + 1))
        more = len(page) > limit
        page = page[:limit]
        return (page[::-1] if before else page), more

    def _index(self, item: str, param: str, items: list[T], whole: bool) -> int:
        found = self.get(item, param)
        if whole:
            return self._place[item] - self._cut
        if found not in items:
            raise missing(self._kind, item, param)
        return items.index(found)


def _created_bounds(params: Params, items: list[T], start: int) -> tuple[int, int]:
    low, high = start, len(items)
    if "created" not in params:
        return low, high
    if not params.nested("created"):
        exact = params.integer("created")
        if exact is None:
            return low, high
        return (
            bisect_left(items, exact, start, key=_created),
            bisect_right(items, exact, start, key=_created),
        )
    bounds = params.table("created")
    if bounds is None:
        return low, high
    for name, cut in (("gte", bisect_left), ("gt", bisect_right)):
        if (value := bounds.integer(name)) is not None:
            low = max(low, cut(items, value, start, key=_created))
    for name, cut in (("lt", bisect_left), ("lte", bisect_right)):
        if (value := bounds.integer(name)) is not None:
            high = min(high, cut(items, value, start, key=_created))
    bounds.finish()
    return low, high


def _created(item: Intent | Charge | Method | Refund | Dispute | Event) -> int:
    return item.created
