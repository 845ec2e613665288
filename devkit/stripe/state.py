"""All that the look-alike remembers, and what changed since it was last written down.

Memory is bounded: 500,000 intents (and as many charges, refunds and methods)
of about 3 KiB together, after which creating is refused; the latest 20,000
events (2 KiB each), older ones are forgotten as Stripe forgets after 30 days.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator

import msgspec

from devkit.stripe.cards import BY_NAME
from devkit.stripe.errors import missing
from devkit.stripe.ids import new_id
from devkit.stripe.objects import Charge, Dispute, Event, Intent, Item, Method, Refund
from devkit.stripe.shelf import Shelf

API_VERSION = "2026-10-28.endive"  # what the pinned library speaks; a test compares
_OBJECTS_MAX = 500_000
_EVENTS_MAX = 20_000


def _published() -> dict[str, Method]:
    methods = {}
    for name, card in BY_NAME.items():
        item = f"pm_1{hashlib.sha256(card.name.encode()).hexdigest()[:23]}"
        method = Method(id=item, created=0, card=card.name, exp_month=12, exp_year=2034)
        methods[name] = methods[item] = method
    return methods


_PUBLISHED = _published()  # one object for each, so that paying with it stores nothing


def now() -> int:
    """Return the time in seconds since the epoch."""
    return int(time.time())


class State:
    """The objects by kind. ``url``: where the look-alike itself is reached."""

    def __init__(self) -> None:
        self.url = ""
        self.intents: Shelf[Intent] = Shelf("payment_intent", limit=_OBJECTS_MAX)
        self.charges: Shelf[Charge] = Shelf("charge", limit=_OBJECTS_MAX)
        self.methods: Shelf[Method] = Shelf("PaymentMethod", limit=_OBJECTS_MAX)
        self.refunds: Shelf[Refund] = Shelf("refund", limit=_OBJECTS_MAX)
        self.disputes: Shelf[Dispute] = Shelf("dispute", limit=_OBJECTS_MAX)
        self.events: Shelf[Event] = Shelf("event", limit=_EVENTS_MAX, forget=True)
        self._changed: dict[str, Item] = {}
        self._happened: list[tuple[str, bytes]] = []

    def load(self, item: Item) -> None:
        """Take an object from the journal."""
        if isinstance(item, Intent):
            self.intents.put(item)
        elif isinstance(item, Charge):
            self.charges.put(item)
        elif isinstance(item, Method):
            self.methods.put(item)
        elif isinstance(item, Refund):
            self.refunds.put(item)
        elif isinstance(item, Dispute):
            self.disputes.put(item)
        else:
            self.events.put(item)

    def put(self, item: Item) -> None:
        """Keep a new or changed object, and remember to write it down."""
        self.load(item)
        self._changed[item.id] = item

    def emit(self, kind: str, document: dict[str, object]) -> None:
        """Remember that something happened; it becomes an event with the request's end."""
        self._happened.append((kind, msgspec.json.encode(document)))

    def take_changes(
        self, request: str, key: str | None, wanted: Callable[[str], bool]
    ) -> tuple[list[Item], list[Event]]:
        """Return the objects that changed and the events since the last call.

        ``wanted``: whether the webhook endpoint is to hear of this kind.
        """
        events = [
            Event(
                id=new_id("evt"),
                created=now(),
                kind=kind,
                data=msgspec.Raw(data),
                request=request,
                key=key,
                pending=wanted(kind),
            )
            for kind, data in self._happened
        ]
        for event in events:
            self.events.put(event)
        changed = list(self._changed.values())
        self._changed, self._happened = {}, []
        return changed, events

    def everything(self) -> Iterator[Item]:
        """Yield all objects, those that others name first."""
        yield from self.methods
        yield from self.intents
        yield from self.charges
        yield from self.refunds
        yield from self.disputes
        yield from self.events

    def method(self, item: str) -> Method:
        """Return a PaymentMethod by its id or published name. Raises ``ApiError`` (404)."""
        found = _PUBLISHED.get(item) or self.methods.find(item)
        if found is None:
            raise missing("PaymentMethod", item, "payment_method")
        return found
