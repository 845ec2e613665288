"""The worker process: its connections, its services, its end."""

from __future__ import annotations

import asyncio
import logging
import signal

from engine.app.worker_endpoint import endpoint
from engine.app.worker_status import Status
from engine.audit.rebuild import Rebuilds
from engine.catalogue.jobs import DueReleases
from engine.core.settings import Settings
from engine.payments import make_provider
from engine.platform.jobs import metrics
from engine.platform.jobs.periodic import Periodic
from engine.platform.jobs.runner import Runner
from engine.platform.valkey.connections import connect
from engine.queue.admission.leader import Admission
from engine.sale.service import Sale
from engine.write_behind.consumer import Consumer, connect_pool

log = logging.getLogger(__name__)

_REFUNDS_S = 1.0  # between two looks at which refunds are due
_EVENTS_S = 60.0  # between two looks at the provider's list; its webhooks are faster


async def serve(settings: Settings) -> int:
    """Run all services until SIGTERM or SIGINT. Returns the exit code.

    1 when a service had to give up. Raises ``OSError`` when the metrics port is taken.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    client = connect(settings.redis_url)
    pool = await connect_pool(settings.database_url)
    provider = make_provider(settings)
    sale = Sale(settings, client, provider)
    await sale.start()
    metrics.UNREADABLE.set_function(lambda: len(sale.known.failing))
    runner = Runner(
        [
            Consumer(
                client, pool, batch=settings.persist_batch, dead_max=settings.persist_dead_max
            ),
            Periodic("expiry", settings.sweep_interval_ms / 1000, sale.expiry.run_once),
            Periodic("refunds", _REFUNDS_S, sale.money.run_once),
            Periodic("provider events", _EVENTS_S, sale.money.catch_up),
            Admission(sale, client),
            Rebuilds(client, pool, settings),
            DueReleases(settings.database_url, client),
            Status(client, pool),
        ]
    )
    try:
        async with endpoint(runner, settings.worker_metrics_port, settings) as port:
            log.info("the worker runs", extra={"metrics_port": port})
            await runner.run(stop)
    finally:
        await sale.stop()
        await provider.close()
        pool.terminate()  # everything is finished; a server that is away must not hold us up
        await client.aclose()
    log.info("the worker has stopped")
    return int(any(state.stopped for state in runner.states.values()))
