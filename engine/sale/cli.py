"""``onsale pause``, ``resume``, ``refund`` and ``refunds``: what operators do to a running sale."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import click

from engine.core.settings import Settings
from engine.sale.documents import Money, Order
from engine.sale.service import Sale

_HOW_BYTES_MAX = 255


@asynccontextmanager
async def running_sale() -> AsyncIterator[Sale]:
    """Give the sale of the settings in the environment, for one command."""
    from engine.payments import make_provider
    from engine.platform.valkey.connections import connect

    settings = Settings.from_environment()
    client = connect(settings.redis_url)
    provider = make_provider(settings)
    sale = Sale(settings, client, provider)
    await sale.start()
    try:
        yield sale
    finally:
        await sale.stop()
        await provider.close()
        await client.aclose()


@click.command()
@click.argument("occurrence")
def pause(occurrence: str) -> None:
    """Pause the sale of OCCURRENCE: its clock stops, nothing runs out, no new holds."""

    async def run() -> None:
        async with running_sale() as sale:
            await sale.pause(occurrence)

    asyncio.run(run())
    click.echo(f"paused; go on with: onsale resume {occurrence}")


@click.command()
@click.argument("occurrence")
def resume(occurrence: str) -> None:
    """Resume the sale of OCCURRENCE: its clock goes on where it stopped."""

    async def run() -> None:
        async with running_sale() as sale:
            await sale.resume(occurrence)

    asyncio.run(run())
    click.echo("resumed")


@click.command()
@click.argument("occurrence")
@click.argument("order")
@click.option("--reason", default="requested", show_default=True, help="Kept with the order.")
@click.option("--again", is_flag=True, help="Try a refund now that is owed and came to nothing.")
@click.option("--elsewhere", metavar="HOW", help="Note that what is owed went back another way.")
def refund(occurrence: str, order: str, reason: str, again: bool, elsewhere: str | None) -> None:
    """Refund ORDER: its seats go back on sale, what is left of its money to the buyer.

    With --again or --elsewhere: go on with a refund that came to nothing (see `onsale refunds`).
    """
    if again and elsewhere:
        raise click.UsageError("give --again or --elsewhere, not both")
    if elsewhere is not None and not 1 <= len(elsewhere.encode()) <= _HOW_BYTES_MAX:
        raise click.UsageError(f"--elsewhere takes 1 to {_HOW_BYTES_MAX} bytes: name the transfer")

    async def run() -> str:
        async with running_sale() as sale:
            if again:
                found = await sale.orders.refund_by_hand(occurrence, order, "again")
            elif elsewhere:
                found = await sale.orders.refund_by_hand(occurrence, order, "elsewhere", elsewhere)
            else:
                found = await sale.orders.give_back(occurrence, order, reason)
            return f"order {found.state}; {_told(found)}"

    click.echo(asyncio.run(run()))


def _told(order: Order) -> str:
    """Return how the money of an order is, in a sentence."""
    if order.payment is None or not any(money.refund for money in order.payment.everything):
        return "there was nothing to pay back"
    return "; ".join(map(_money_told, order.payment.everything))


def _money_told(money: Money) -> str:
    told = {
        "": "nothing is to go back",
        "owed": f"{money.owed} are owed, and the worker goes on with it",
        "pending": f"{money.refunding or money.withdrawn} are on their way back",
        "done": f"{money.refunded + money.elsewhere + money.withdrawn} are back",
        "failed": f"{money.owed} are owed after {money.tries} refunds that came to nothing",
    }[money.refund_state]
    parts = [told]
    if money.refund_id:
        parts.append(f"refund {money.refund_id}")
    if money.failure:
        parts.append(f"the last that failed: {money.failure}")
    if money.dispute:
        parts.append(f"dispute {money.dispute}, {money.withdrawn} withdrawn")
    return ", ".join(parts)


@click.command()
@click.argument("occurrence", required=False)
def refunds(occurrence: str | None) -> None:
    """List orders whose money is owed back, on its way, or disputed; of OCCURRENCE, or of all.

    Exit code 1 when any of them needs a person.
    """

    async def run() -> bool:
        async with running_sale() as sale:
            needed = False
            wanted = [await sale.published(occurrence)] if occurrence else await sale.occurrences()
            for published in wanted:
                name = published.snapshot.occurrence
                async for order in sale.money.followed(published):
                    money = order.payment.everything if order.payment else []
                    needed = needed or any(item.refund_state == "failed" for item in money)
                    click.echo(f"{name} {order.id}  {order.state}  {_told_all(money)}")
            return needed

    sys.exit(int(asyncio.run(run())))


def _told_all(money: list[Money]) -> str:
    return "; ".join(_money_told(item) for item in money if item.is_followed)
