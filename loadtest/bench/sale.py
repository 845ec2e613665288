"""A stadium sold to the last seat over HTTP: guests, holds, checkouts, payments, webhooks, rows."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from statistics import median
from typing import ClassVar
from uuid import UUID

import aiohttp
import asyncpg
from redis.asyncio import Redis

from devkit.demo.figures import Stopwatch, percentile
from devkit.demo.shop import Json, RefusedError, Shop, UnavailableError
from devkit.demo.till import NoLookalikeError, Till, good_card
from engine.audit.audit import Audit, wait_for_backlog
from engine.audit.findings import Report
from engine.catalogue.publish import Publication
from engine.core.settings import Settings
from engine.payments import make_provider
from engine.sale.inventory import inspection
from engine.write_behind.consumer import connect_pool
from loadtest.bench import servers
from loadtest.bench.context import Context, make_settings
from loadtest.bench.database import postgres, publish_stadiums
from loadtest.bench.results import Figure, Ratio
from loadtest.bench.trend import Moment, Trend
from loadtest.checks import CheckError

_BUYERS = 48  # at the same time
_TICKETS_MAX = 6  # an order; from 1 on
_WARM_S = 2.0
_POLL_S = 0.05
_PATIENCE_S = 60.0  # for one order to be confirmed, for the backlog to be written
_SALE_S_MAX = 300.0
_MOMENTS = 20  # at which it is looked how far PostgreSQL is, in the measured window
_TICKETS = "SELECT count(*) FROM tickets WHERE occurrence_id = $1"


@dataclass(slots=True)
class Sold:
    """What the buyers have come to. ``left``: seats nobody has asked for yet, by ticket type."""

    left: Counter[str]
    stopwatch: Stopwatch
    rng: random.Random
    orders: int = 0
    began: float = field(default_factory=time.perf_counter)

    def take(self) -> tuple[str, int] | None:
        """Choose what the next buyer asks for; None: there is nothing left to ask for."""
        kinds = [kind for kind, left in self.left.items() if left > 0]
        if not kinds:
            return None
        kind = self.rng.choices(kinds, [self.left[kind] for kind in kinds])[0]
        count = min(self.rng.randint(1, _TICKETS_MAX), self.left[kind])
        self.left[kind] -= count
        return kind, count


class SaleBench:
    """``sale``: orders persisted over confirmed, the whole journey, the last seat, the audit."""

    name: ClassVar = "sale"

    async def run(self, context: Context) -> None:
        """Measure everything in one sale."""
        async with (
            context.valkey("sale") as (valkey, client),
            postgres(context, "sale-postgres") as database_url,
        ):
            (publication,) = await publish_stadiums(context, database_url, client, 1)
            settings = make_settings(valkey, database_url=database_url)
            variables = servers.environment(settings)
            provider_port = int(settings.stripe_api_base.rpartition(":")[2])
            api = servers.api(variables, settings.api_port, context.log("sale-api"))
            async with (
                context.running(
                    servers.lookalike(settings, provider_port, context.log("lookalike")),
                    servers.worker(variables, settings.worker_metrics_port, context.log("worker")),
                ),
                context.running(api, core=servers.API_CORE),
            ):
                await self._sell(context, settings, client, publication)

    async def _sell(
        self, context: Context, settings: Settings, client: Redis, publication: Publication
    ) -> None:
        seats = publication.seats
        context.say(f"selling {seats:,} seats over HTTP, to the last one")
        pool = await connect_pool(settings.database_url)
        stopwatch = Stopwatch()
        try:
            async with (
                aiohttp.ClientSession() as session,
                aiohttp.ClientSession() as provider,
            ):
                shop = Shop(
                    session,
                    settings.public_url,
                    publication.occurrence,
                    stopwatch,
                    connections_max=_BUYERS,
                )
                types = (await shop.occurrence())["ticket_types"]
                sold = Sold(
                    Counter({item["code"]: item["free"] for item in types}),
                    stopwatch,
                    random.Random(seats),  # noqa: S311 - the order of a test
                )
                till = Till(provider, settings.stripe_api_base, stopwatch)
                moments = await _all_sold(
                    context, shop, till, sold, _Watch(client, pool, publication, sold)
                )
            sale_s = time.perf_counter() - sold.began
            context.say("auditing")
            began = time.perf_counter()
            report = await _audited(settings, client, pool, publication.occurrence)
            audit_s = time.perf_counter() - began
        finally:
            pool.terminate()
        if not report.ok or report.tickets != seats:
            wrong = [
                f"{c.name}: {f.subject}: {f.detail}" for c in report.checks for f in c.findings
            ]
            raise CheckError(
                f"{report.tickets} of {seats} seats are sold; the audit says {'; '.join(wrong[:5])}"
            )
        _add_results(context, Trend(moments), sold, report, sale_s=sale_s, audit_s=audit_s)


class _Watch:
    """Looks at how much is sold in Redis, and waits until PostgreSQL has that."""

    def __init__(
        self, client: Redis, pool: asyncpg.Pool, publication: Publication, sold: Sold
    ) -> None:
        self._client = client
        self._pool = pool
        self._publication = publication
        self._sold = sold

    async def moment(self) -> Moment:
        """Return how it stands now. Raises :class:`CheckError` when PostgreSQL stays behind."""
        counters = await inspection.read_counters(
            self._client, self._publication.shard, self._publication.occurrence
        )
        at, orders = time.perf_counter(), self._sold.orders
        tickets = sum(item.sold for item in counters if item.key.startswith("category:"))
        while time.perf_counter() - at < _PATIENCE_S:
            written = await self._pool.fetchval(_TICKETS, UUID(self._publication.occurrence))
            if written >= tickets:
                return Moment(tickets, orders, at, time.perf_counter())
            await asyncio.sleep(_POLL_S / 5)
        raise CheckError(f"{tickets} tickets were sold and are not in PostgreSQL after a minute")


async def _all_sold(
    context: Context, shop: Shop, till: Till, sold: Sold, watch: _Watch
) -> list[Moment]:
    """Sell everything; return moments of the measured window, its ends among them."""
    buyers = asyncio.gather(*(_buy(shop, till, sold) for _ in range(_BUYERS)))
    try:
        async with asyncio.timeout(_SALE_S_MAX):
            await asyncio.sleep(_WARM_S)
            moments = [await watch.moment()]
            while len(moments) <= _MOMENTS and not buyers.done():
                due = moments[0].at + context.options.sale_s * len(moments) / _MOMENTS
                await asyncio.wait([buyers], timeout=max(due - time.perf_counter(), 0))
                moments.append(await watch.moment())
            await buyers
    except (RefusedError, UnavailableError, NoLookalikeError) as error:
        raise CheckError(f"a buyer was stopped: {error}") from error
    except TimeoutError as error:
        raise CheckError(f"not sold out after {_SALE_S_MAX:.0f} s: {sold.left.total()}") from error
    finally:
        buyers.cancel()
        await asyncio.gather(buyers, return_exceptions=True)
    return moments


async def _buy(shop: Shop, till: Till, sold: Sold) -> None:
    """Be one buyer after the other."""
    while (wanted := sold.take()) is not None:
        kind, count = wanted
        began = time.perf_counter()
        token = (await shop.guest()).token
        line: Json = {"ticket_type": kind, "quantity": count, "allow_split": True}
        hold = await shop.hold(token, line)
        checkout = await shop.check_out(token, hold["id"], f"buyer-{token[-8:].lower()}")
        if await till.pay(checkout["payment"], good_card(sold.rng)) != "succeeded":
            raise CheckError("a good card was declined")
        order = checkout["order"]["id"]
        while (await shop.order(token, order))["state"] != "confirmed":
            if time.perf_counter() - began > _PATIENCE_S:
                raise CheckError(f"order {order} was paid and is not confirmed")
            await asyncio.sleep(_POLL_S)
        sold.orders += 1
        sold.stopwatch.add("journey", time.perf_counter() - began)


async def _audited(
    settings: Settings, client: Redis, pool: asyncpg.Pool, occurrence: str
) -> Report:
    if await wait_for_backlog(client, seconds=_PATIENCE_S, progress=lambda _: None):
        raise CheckError("the backlog was not written within a minute")
    provider = make_provider(settings)
    try:
        async with pool.acquire() as connection:
            (report,) = await Audit(client, connection, provider).run([occurrence])
    finally:
        await provider.close()
    return report


def _add_results(
    context: Context,
    trend: Trend,
    sold: Sold,
    report: Report,
    *,
    sale_s: float,
    audit_s: float,
) -> None:
    context.results.ratios.append(
        Ratio(
            name="persisted_over_confirmed",
            title=f"orders/s persisted, by the trend of {trend.seconds:.0f} s",
            limit_title="orders/s confirmed over HTTP in the same time",
            unit="orders/s",
            measured=trend.persisted,
            limit=trend.sold,
            must=1.0,
            aim=1.0,
            excludes="nothing; the rate is what the whole journey reaches on two cores, buyers and"
            " payment provider included",
        )
    )
    journeys = sold.stopwatch.seconds["journey"]
    context.results.figures += [
        Figure(
            name="journey",
            title="the whole journey over HTTP",
            value=median(trend.persisted),
            unit="orders/s",
            note="guest, hold, checkout, paid at the look-alike, webhook, confirmed, persisted;"
            f" {_BUYERS} buyers at a time, all on this machine; a journey takes"
            f" {percentile(journeys, 0.5) * 1000:.0f} ms (median)",
        ),
        Figure(
            name="persist_lag",
            title="sold in Redis before it is in PostgreSQL",
            value=trend.lag_s * 1000,
            unit="ms",
            note="the median of those seconds; it grows by"
            f" {trend.lag_growth * 1000:+.1f} ms a second",
        ),
        Figure(
            name="last_seat",
            title=f"{report.tickets:,} seats sold to the last one",
            value=sale_s,
            unit="s",
            note=f"{report.orders:,} orders of 1 to {_TICKETS_MAX} tickets, over HTTP",
        ),
        Figure(
            name="audit",
            title="the audit after it",
            value=audit_s,
            unit="s",
            note="everything agrees: Redis, PostgreSQL, the payment provider",
        ),
    ]
