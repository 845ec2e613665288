"""What people call an occurrence or an order, turned into its id.

An occurrence: its id, its event's slug, its key in the event file,
``EVENT/KEY``, or the number of an order or a ticket (ONS-..., TKT-...) of it.
An order: its id, its number, or the number of one of its tickets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any
from uuid import UUID

import click
import msgspec
from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession

from engine.catalogue.models.events import Event, Occurrence
from engine.catalogue.problems import nearest
from engine.core.errors import ConflictError, NotFoundError
from engine.core.settings import Settings
from engine.core.times import local_time
from engine.platform.postgres.session import sessions
from engine.write_behind.models.orders import Order, Ticket

_NUMBERS = ("ONS-", "TKT-")
_KNOWN_MAX = 10  # events that a refusal names
_SLUGS_MAX = 1_000  # among which one that is nearly right is looked for


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """An occurrence that a name may mean."""

    id: UUID
    event: str
    key: str
    starts_at: datetime
    timezone: str

    def __str__(self) -> str:
        local = local_time(self.starts_at, self.timezone)
        return f"{self.id.hex} ({self.event}/{self.key}, {local})"


async def find_occurrences(session: AsyncSession, name: str) -> list[Named]:
    """Return all occurrences that ``name`` may mean, the next one first.

    Raises :class:`NotFoundError` when there is none.
    """
    found = await _occurrences(session, name)
    if found:
        return found
    known = list(await session.scalars(select(Event.slug).order_by(Event.slug).limit(_SLUGS_MAX)))
    listed = ", ".join(known[:_KNOWN_MAX]) or "none: `onsale load EVENT.yaml` makes one"
    numbered = name.strip().upper().startswith(_NUMBERS)
    what = "occurrence" if as_id(name) else "order" if numbered else "event or occurrence"
    raise NotFoundError(
        f"there is no {what} {name}{nearest(name, known)}; there are the events {listed}"
    )


async def find_occurrence(session: AsyncSession, name: str) -> UUID:
    """Return the one occurrence that ``name`` means.

    Raises :class:`NotFoundError`, and :class:`ConflictError` that lists the choices.
    """
    found = await find_occurrences(session, name)
    if len(found) > 1:
        listed = "".join(f"\n  {one}" for one in found)
        raise ConflictError(
            f"{name} may be any of {len(found)} occurrences: name one by its id, or as"
            f" EVENT/KEY{listed}"
        )
    return found[0].id


async def find_order(session: AsyncSession, name: str) -> UUID:
    """Return the order that ``name`` means. Raises :class:`NotFoundError`."""
    number = name.strip().upper()
    query = select(Order.id).where(Order.number == number)
    if number.startswith("TKT-"):
        query = select(Ticket.order_id).where(Ticket.number == number)
    found = list(await session.scalars(query.distinct().limit(2)))
    if not found:
        raise NotFoundError(
            f"PostgreSQL has no order {name}: give its id or its number (ONS-...); one of this"
            " moment may not be written yet"
        )
    if len(found) > 1:
        listed = ", ".join(order.hex for order in found)
        raise ConflictError(f"several orders have the number {name}: name one by its id: {listed}")
    return found[0]


async def _occurrences(session: AsyncSession, name: str) -> list[Named]:
    identifier = as_id(name)
    if identifier is not None:
        return await _which(session, Occurrence.id == UUID(identifier))
    number = name.strip().upper()
    if number.startswith("ONS-"):
        orders = select(Order.occurrence_id).where(Order.number == number)
        return await _which(session, Occurrence.id.in_(orders))
    if number.startswith("TKT-"):
        tickets = select(Ticket.occurrence_id).where(Ticket.number == number)
        return await _which(session, Occurrence.id.in_(tickets))
    event, separator, key = name.strip().partition("/")
    if separator:
        return await _which(session, (Event.slug == event) & (Occurrence.key == key))
    return await _which(session, (Event.slug == event) | (Occurrence.key == event))


async def _which(session: AsyncSession, condition: ColumnElement[bool]) -> list[Named]:
    rows = await session.execute(
        select(Occurrence.id, Event.slug, Occurrence.key, Occurrence.starts_at, Occurrence.timezone)
        .join(Event, Event.id == Occurrence.event_id)
        .where(condition)
        .order_by(Occurrence.starts_at, Occurrence.key, Occurrence.id)
    )
    return [
        Named(
            id=row.id, event=row.slug, key=row.key, starts_at=row.starts_at, timezone=row.timezone
        )
        for row in rows
    ]


def as_id(name: str) -> str | None:
    """Return an id, with or without dashes, as 32 hex digits; None: it is none."""
    try:
        return UUID(name.strip()).hex
    except ValueError:
        return None


class NameType(click.ParamType[str]):
    """Takes an id as it is, and asks PostgreSQL about any other name."""

    def __init__(self, name: str, find: Callable[[AsyncSession, str], Awaitable[UUID]]) -> None:
        self.name = name
        self._find = find

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return 32 hex digits. Raises :class:`NotFoundError`, :class:`ConflictError`."""
        del param, ctx
        return as_id(str(value)) or asyncio.run(self._asked(str(value)))

    async def _asked(self, name: str) -> str:
        url = Settings.from_environment().database_url
        async with sessions(url) as factory, factory() as session:
            return (await self._find(session, name)).hex


def take_names(command: click.Command) -> None:
    """Let a command, and those within it, take names wherever it takes an id."""
    for parameter in command.params:
        if isinstance(parameter, click.Argument) and parameter.name == "occurrence":
            parameter.type = NameType("occurrence", find_occurrence)
        elif isinstance(parameter, click.Argument) and parameter.name == "order":
            parameter.type = NameType("order", find_order)
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            take_names(inner)
