"""``onsale pause``, ``resume`` and ``refund``: what operators do to a running sale."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import click

from engine.sale.service import Sale
from engine.settings import Settings


@asynccontextmanager
async def running_sale() -> AsyncIterator[Sale]:
    """Give the sale of the settings in the environment, for one command."""
    from engine.payments import make_provider
    from engine.store.client import connect

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
def refund(occurrence: str, order: str, reason: str) -> None:
    """Refund ORDER in full: its seats go back on sale, its money to the buyer."""

    async def run() -> str:
        async with running_sale() as sale:
            found = await sale.orders.give_back(occurrence, order, reason)
            payment = found.payment
            if payment is None or not payment.refund:
                return "taken back; there was nothing to pay back"
            if payment.refund_id:
                return f"taken back; refund {payment.refund_id} is made"
            return "taken back; the provider is away, the worker makes the refund when it is back"

    click.echo(asyncio.run(run()))
