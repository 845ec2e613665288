"""Checks a published draw from what everybody can read: the document and the roster."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from engine.core.errors import InvalidRequestError
from engine.queue.draw.numbers import EMPTY, LEAF_BYTES, commitment, draw_key, leaf, number

PLACES_MAX = 10_000_000  # ten times the largest line the product is made for: 160 MB of roster

_Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


class PublishedDraw(msgspec.Struct, frozen=True, kw_only=True):
    """``GET .../queue/draw``: hex text; all but the commitment is None until it is drawn."""

    commitment: _Digest
    drawn: bool
    n: Annotated[int, Meta(ge=0, le=PLACES_MAX)] | None = None
    seed: _Digest | None = None
    digest: _Digest | None = None

    @property
    def places(self) -> int:
        """How many places are in the draw; 0 until it is drawn."""
        return self.n or 0


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A place in the draw: its ``index`` in the roster, from 0, and its ``number``, from 1."""

    index: int
    number: int


_decoder = msgspec.json.Decoder(PublishedDraw)


def read_draw(body: bytes) -> PublishedDraw:
    """Return the document. Raises :class:`InvalidRequestError` when it is none."""
    try:
        return _decoder.decode(body)
    except msgspec.DecodeError as error:
        raise InvalidRequestError(f"this is not a published draw: {error}") from error


def mistakes(draw: PublishedDraw, roster: bytes, noted: str | None) -> Iterator[str]:
    """Yield a sentence for everything that does not agree.

    ``noted``: the commitment that somebody wrote down before the draw, if anybody did.
    """
    if noted is not None and noted != draw.commitment:
        yield f"The commitment is {draw.commitment} now, not the one that was noted."
    if draw.seed is None or commitment(bytes.fromhex(draw.seed)) != draw.commitment:
        yield "The SHA-256 of the seed is not the commitment: another seed was drawn with."
    if len(roster) != draw.places * LEAF_BYTES:
        yield (
            f"The roster has {len(roster):,} bytes, not {draw.places:,} places of {LEAF_BYTES}:"
            " places were added or left out."
        )
    elif hashlib.sha256(roster).hexdigest() != draw.digest:
        yield "The SHA-256 of the roster is not its digest: places were changed after the draw."
    taken = [place for place in _leaves(roster) if place != EMPTY]
    if len(set(taken)) < len(taken):
        yield "A buyer has two places in the roster."


def place_of_index(draw: PublishedDraw, index: int) -> Place:
    """Return the place with an index. Raises :class:`InvalidRequestError` if there is none."""
    if draw.seed is None or draw.digest is None or not 0 <= index < draw.places:
        raise InvalidRequestError(f"index {index} is none of the draw's {draw.places:,} places")
    key = draw_key(bytes.fromhex(draw.seed), bytes.fromhex(draw.digest))
    return Place(index=index, number=number(key, draw.places, index))


def place_of_buyer(draw: PublishedDraw, roster: bytes, occurrence: str, buyer: str) -> Place | None:
    """Return a buyer's place (ids: 32 hex); None when the buyer has none in this draw."""
    wanted = leaf(occurrence, buyer)
    for index, found in enumerate(_leaves(roster)):
        if found == wanted:
            return place_of_index(draw, index)
    return None


def _leaves(roster: bytes) -> Iterator[bytes]:
    return (roster[at : at + LEAF_BYTES] for at in range(0, len(roster), LEAF_BYTES))
