"""Requests for wrk, each of another buyer: holds of other seats, joins with proofs, polls."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec

from engine.core.ids import new_id
from engine.core.tokens import TokenSigner
from engine.queue.gate.proof_of_work import ProofKeys, make_challenge, solve
from engine.sale.inventory.snapshot import Seat, Snapshot
from loadtest.stadium import seats_together


class Request(NamedTuple):
    """One request for wrk; with a ``body`` it is a POST, without one a GET."""

    path: str
    token: str
    key: str  # "": none
    body: bytes


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


def holds(wanted: Iterable[Wanted], signer: TokenSigner) -> Iterator[Request]:
    """Yield the hold requests of as many new buyers."""
    for occurrence, line in wanted:
        token = signer.issue_guest(None, _TOKEN_S)
        body = msgspec.json.encode({"lines": [line]})
        yield Request(f"/v1/occurrences/{occurrence}/holds", token, f"key-{new_id()}", body)


def joins(occurrence: str, signer: TokenSigner, keys: ProofKeys) -> Iterator[Request]:
    """Yield the joins of new buyers without end, each with its proof of work.

    The challenges are good and easy: their counter is 0. To check a proof costs
    the same however hard it was to find.
    """
    path = f"/v1/occurrences/{occurrence}/queue"
    while True:
        claims = signer.guest(None, _TOKEN_S)
        challenge = make_challenge(keys, claims.sub, occurrence, time.time(), difficulty=1)
        body = msgspec.json.encode({"challenge": solve(challenge)})
        yield Request(path, signer.sign(claims), "", body)


def polls(occurrence: str, buyers: Sequence[str], signer: TokenSigner) -> Iterator[Request]:
    """Yield one question for each buyer's place."""
    path = f"/v1/occurrences/{occurrence}/queue"
    for buyer in buyers:
        claims = msgspec.structs.replace(signer.guest(None, _TOKEN_S), sub=buyer)
        yield Request(path, signer.sign(claims), "", b"")


def write(file: Path, wanted: Iterable[Request], count: int) -> int:
    """Write up to ``count`` requests; return how many there are."""
    written = 0
    with file.open("wb") as stream:
        for path, token, key, body in islice(wanted, count):
            stream.write(f"{path}\t{token}\t{key}\t".encode() + body + b"\n")
            written += 1
    return written
