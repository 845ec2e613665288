"""The sale's commands in batches, straight to the scripts: for filling a house quickly."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from redis.asyncio import Redis

from engine.core.ids import new_id
from engine.platform.valkey.codes import Code
from engine.platform.valkey.connections import run_script
from engine.platform.valkey.packing import pack

BATCH = 50
_BODY = bytes(16)
T = TypeVar("T")


class Bought(NamedTuple):
    """An order made here: its id, its intent and what was taken for it."""

    order: str
    intent: str
    total: int


class CommandError(Exception):
    """A script refused what must succeed; the message has its answer."""


def batches(items: Iterable[T], size: int = BATCH) -> Iterator[list[T]]:
    """Cut into lists of at most ``size``."""
    source = iter(items)
    while batch := list(islice(source, size)):
        yield batch


def hold_request(ticket_type: int, seats: Sequence[int]) -> list[Any]:
    """Return the request of a new buyer for named seats ``[section, position, ...]``."""
    line = [ticket_type, len(seats) // 2, list(seats), False]
    return [new_id(), new_id(), os.urandom(16), _BODY, [line]]


async def run(client: Redis, command: str, place: str, requests: Sequence[Any]) -> list[list[Any]]:
    """Run one batch. Raises :class:`CommandError` unless every answer is OK."""
    answers: list[list[Any]] = await run_script(client, command, place, pack(requests))
    for answer in answers:
        if answer[0] != Code.OK:
            raise CommandError(f"{command} answered {answer} where it must succeed")
    return answers


async def place_orders(
    client: Redis, place: str, holds: Iterable[list[Any]], price: int
) -> list[Bought]:
    """Take the stock of these requests and make a pending order of each, ``price`` a ticket."""
    bought = []
    for batch in batches(holds):
        await run(client, "hold_acquire", place, batch)
        orders = []
        for buyer, hold, _key, _body, lines in batch:
            total = price * sum(line[1] for line in lines)
            order = new_id()
            orders.append([buyer, hold, 1, order, os.urandom(16), _BODY, _details(total)])
            bought.append(Bought(order, f"pi_{order}", total))
        await run(client, "order_place", place, orders)
    return bought


async def confirm_orders(client: Redis, place: str, bought: Iterable[Bought]) -> None:
    """Confirm orders as if they had been paid."""
    for batch in batches(bought):
        await run(
            client,
            "order_confirm",
            place,
            [[item.order, item.intent, item.total] for item in batch],
        )


def _details(total: int) -> dict[str, Any]:
    return {
        "currency": "EUR",
        "subtotal": total,
        "discount": 0,
        "platform_fee": 0,
        "payment_fee": 0,
        "tax": 0,
        "total": total,
        "email": "buyer@example.org",
        "name": "A Buyer",
        "attendees": [],
        "provider": "stripe",
    }
