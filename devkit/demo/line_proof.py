"""After the sale: checks the draw as any buyer can, and the order of the line by its records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from devkit.demo.line_tally import Seen
from engine.audit.fairness import Fairness, read_fairness
from engine.queue.draw.numbers import LEAF_BYTES, leaf
from engine.queue.draw.public import download
from engine.queue.draw.verification import PublishedDraw, mistakes, place_of_index
from engine.write_behind.tables import Connected


class LineFacts(msgspec.Struct, kw_only=True):
    """``drawn``, ``later``: places of the draw and behind it.

    ``checked``: numbers that were recomputed; ``wrong``: what does not agree.
    """

    fairness: Fairness
    drawn: int
    later: int
    checked: int
    wrong: list[str]


async def prove_line(
    connection: Connected,
    url: str,
    occurrence: str,
    commitment: str,
    places: Mapping[str, set[Seen]],
) -> LineFacts:
    """Return the facts. ``commitment``: noted before the draw; ``places``: what buyers were told.

    Raises what asyncpg raises, and :class:`engine.core.errors.OnsaleError`.
    """
    fairness = await read_fairness(connection, occurrence)
    draw, roster = await download(url, occurrence, lambda *_: None)
    wrong = list(mistakes(draw, roster, commitment)) if draw.drawn else ["nothing was drawn"]
    if not wrong:
        wrong = list(wrong_places(draw, roster, occurrence, places))
    seen = set().union(*places.values()) if places else set()
    return LineFacts(
        fairness=fairness,
        drawn=draw.places,
        later=sum(one.slot >= draw.places for one in seen),
        checked=sum(one.slot < draw.places for one in seen),
        wrong=wrong,
    )


def wrong_places(
    draw: PublishedDraw, roster: bytes, occurrence: str, places: Mapping[str, set[Seen]]
) -> Iterator[str]:
    """Yield a sentence for each buyer who was told another number than was drawn."""
    for buyer, seen in places.items():
        for slot, number in seen:
            if slot >= draw.places:
                expected = slot + 1  # in the order of arrival, behind the draw
            else:
                expected = place_of_index(draw, slot).number
                found = roster[slot * LEAF_BYTES : (slot + 1) * LEAF_BYTES]
                if found != leaf(occurrence, buyer):
                    yield f"place {slot} of the roster is not that of buyer {buyer}"
            if number != expected:
                yield f"buyer {buyer} was told number {number}, and {expected} was drawn"
