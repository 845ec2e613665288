"""Operators name occurrences and orders as they are written on tickets and in event files."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import click
import pytest
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from engine.app.cli import COMMANDS, NAMING, main
from engine.catalogue.naming import find_occurrence, find_order
from engine.core.errors import ConflictError, NotFoundError
from engine.core.ids import new_id
from engine.platform.postgres.base import Base
from engine.write_behind.models.orders import Order, Ticket
from tests.catalogue.conftest import Loader
from tests.catalogue.documents import edited, event

ONS, TKT = "ONS-20310101-ABCDEF", "TKT-ABCDEFGH"
Factory = async_sessionmaker[AsyncSession]


def _two() -> dict[str, object]:
    first = event()["occurrences"][0]
    second = {
        **first,
        "key": "matinee",
        "starts_at": "2031-05-02T15:00:00+02:00",
        "ends_at": "2031-05-02T17:00:00+02:00",
    }
    return edited(event(), "occurrences", [first, second])


async def _ask(factory: Factory, name: str) -> str:
    async with factory() as session:
        return (await find_occurrence(session, name)).hex


def _row(model: type[Base], **values: Any) -> Base:
    """Return a row whose other columns hold something; every amount is nothing."""
    fillers: dict[type, Any] = {
        str: "x",
        int: 0,
        bytes: b"x",
        datetime: datetime(2031, 1, 1, tzinfo=UTC),
        UUID: UUID(int=1),
    }
    wanted = [column for column in model.__table__.columns if not column.nullable]
    return model(
        **{column.name: fillers.get(column.type.python_type) for column in wanted} | values
    )


async def _order(factory: Factory, occurrence: str) -> str:
    """Write an order with a ticket; nothing of it but its numbers matters here."""
    of, order = UUID(occurrence), UUID(new_id())
    async with factory.begin() as session:
        session.add(_row(Order, occurrence_id=of, id=order, number=ONS, state="confirmed"))
        session.add(_row(Ticket, occurrence_id=of, order_id=order, number=TKT, status="valid"))
    return order.hex


async def test_one_date_is_named_in_every_way(factory: Factory, loader: Loader) -> None:
    occurrence = (await loader(event())).occurrences[0].id
    for name in (
        *("hamlet", "premiere", "hamlet/premiere", occurrence, str(UUID(occurrence)), " hamlet "),
        occurrence.upper(),
    ):
        assert await _ask(factory, name) == occurrence, name


async def test_what_may_mean_several_lists_them(factory: Factory, loader: Loader) -> None:
    premiere, matinee = (await loader(_two())).occurrences
    for name, wanted in (("premiere", premiere.id), ("hamlet/matinee", matinee.id)):
        assert await _ask(factory, name) == wanted
    with pytest.raises(ConflictError) as refused:
        await _ask(factory, "hamlet")
    for known in (premiere.id, matinee.id, "hamlet/matinee", "Fri 02 May 2031 15:00 Europe/Berlin"):
        assert known in str(refused.value)
    await loader(edited(event(), "event.slug", "premiere"))  # a slug that is a key, too
    with pytest.raises(ConflictError, match="may be any of 2 occurrences"):
        await _ask(factory, "premiere")


@pytest.mark.parametrize(
    "name", ["hamlett", "nothing", "hamlet/nothing", "0" * 32, "ONS-20310101-AAAAAA", "", "/", "ä'"]
)
async def test_what_there_is_not_is_told_with_what_there_is(
    factory: Factory, loader: Loader, name: str
) -> None:
    await loader(event())
    with pytest.raises(NotFoundError, match="hamlet"):
        await _ask(factory, name)


def test_every_command_that_takes_an_id_takes_a_name() -> None:
    context = click.Context(main)

    def arguments(command: click.Command) -> list[click.Argument]:
        found = [item for item in command.params if isinstance(item, click.Argument)]
        inner = command.commands.values() if isinstance(command, click.Group) else ()
        return [*found, *(item for one in inner for item in arguments(one))]

    for name in COMMANDS:
        command = main.get_command(context, name)
        assert command is not None
        for argument in arguments(command):
            if argument.name in {"occurrence", "order"} and name != "verify-draw":
                assert name in NAMING
                assert argument.type.name == argument.name


async def test_a_number_of_an_order_or_ticket_names_its_order_and_its_date(
    factory: Factory, loader: Loader
) -> None:
    occurrence = (await loader(event())).occurrences[0].id
    order = await _order(factory, occurrence)
    for name in (ONS, ONS.lower(), TKT, f" {TKT} "):
        assert await _ask(factory, name) == occurrence
        async with factory() as session:
            assert (await find_order(session, name)).hex == order
    async with factory() as session:
        with pytest.raises(NotFoundError, match="no order ONS-1"):
            await find_order(session, "ONS-1")
