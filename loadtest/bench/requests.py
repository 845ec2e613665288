"""Requests for wrk: every one with another buyer's token, another key, other seats."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import msgspec

from engine.core.ids import new_id
from engine.core.snapshot import Seat, Snapshot
from engine.core.tokens import TokenSigner
from loadtest.stadium import seats_together

Wanted = tuple[str, dict[str, object]]  # occurrence, the line that is asked for

_BEST_SHARE = 0.9  # near the end of a house there may be seats left, but no two together
_TOKEN_S = 3_600


def named(houses: Iterable[Snapshot], together: int) -> Iterator[Wanted]:
    """Yield requests naming neighbours all over a house, none twice, house by house."""
    for snapshot in houses:
        for group in _groups(snapshot, together):
            kind = snapshot.ticket_types[group[0].category].code
            yield (
                snapshot.occurrence,
                {"ticket_type": kind, "seats": [seat.guid for seat in group]},
            )


def best(houses: Iterable[Snapshot], together: int) -> Iterator[Wanted]:
    """Yield requests for the best seats together, as many of a category as it has."""
    for snapshot in houses:
        groups = _groups(snapshot, together)
        for group in groups[: int(len(groups) * _BEST_SHARE)]:
            kind = snapshot.ticket_types[group[0].category].code
            yield snapshot.occurrence, {"ticket_type": kind, "quantity": together}


def _groups(snapshot: Snapshot, together: int) -> list[list[Seat]]:
    groups = list(seats_together(snapshot, together))
    random.Random(snapshot.occurrence).shuffle(groups)  # noqa: S311 - the order of a test
    return groups


def write(file: Path, wanted: Iterable[Wanted], count: int, signer: TokenSigner) -> int:
    """Write up to ``count`` requests of as many new buyers; return how many there are."""
    written = 0
    with file.open("wb") as stream:
        for occurrence, line in islice(wanted, count):
            token = signer.issue_guest(None, _TOKEN_S)
            body = msgspec.json.encode({"lines": [line]})
            head = f"/v1/occurrences/{occurrence}/holds\t{token}\tkey-{new_id()}\t"
            stream.write(head.encode() + body + b"\n")
            written += 1
    return written
