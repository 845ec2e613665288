"""The Events endpoints."""

from __future__ import annotations

from devkit.stripe import render
from devkit.stripe.call import Call, encode
from devkit.stripe.objects import Event
from devkit.stripe.state import State


class Events:
    """See the module; every endpoint takes a call and returns the JSON of the answer."""

    def __init__(self, state: State) -> None:
        self._state = state

    def retrieve(self, call: Call) -> bytes:
        """``GET /v1/events/:id``."""
        call.params.finish()
        return encode(render.event(self._state.events.get(call.item)))

    def list(self, call: Call) -> bytes:
        """``GET /v1/events``, newest first; of a ``type`` (``charge.*`` too) or some ``types``."""
        kind = call.params.text("type")
        kinds = call.params.words("types") or ([] if kind is None else [kind])
        items, more = self._state.events.page(
            call.params, lambda item: not kinds or any(_matches(item, kind) for kind in kinds)
        )
        call.params.finish()
        documents = [render.event(item) for item in items]
        return encode(render.page("/v1/events", documents, more=more))


def _matches(event: Event, kind: str) -> bool:
    if kind.endswith(".*"):
        return event.kind.startswith(kind[:-1])
    return event.kind == kind
