"""``onsale audit``, ``rebuild``, ``fairness``, ``dead-letters list`` and ``replay``."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, NamedTuple

import asyncpg
import click
from redis.asyncio import Redis
from redis.exceptions import RedisError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from engine.core.errors import NotFoundError
from engine.core.settings import Settings
from engine.platform.postgres.session import unavailable_named
from engine.platform.telemetry.logs import configure_logs
from engine.platform.valkey.connections import connect
from engine.platform.valkey.errors import StoreUnavailableError
from engine.write_behind.consumer import connect_pool

WAIT_S = 60.0


class _Servers(NamedTuple):
    settings: Settings
    client: Redis
    pool: asyncpg.Pool[Any]


@asynccontextmanager
async def _servers() -> AsyncIterator[_Servers]:
    """Give the connections of a command; a server that is away is one sentence."""
    settings = Settings.from_environment()
    client = connect(settings.redis_url)
    pool = await connect_pool(settings.database_url)
    try:
        with unavailable_named(settings.database_url):
            yield _Servers(settings, client, pool)
    except RedisError as error:
        raise StoreUnavailableError(
            f"Redis at {settings.redis_url} does not answer ({error}): start it"
            " (`onsale up` brings one) or set REDIS_URL"
        ) from error
    finally:
        pool.terminate()
        await client.aclose()


@contextmanager
def _bar() -> Iterator[Callable[[str, int, int | None], None]]:
    """Give a function (what, done, total) that moves a bar, on a terminal."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(
        *columns,
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task("", total=None)

        def move(what: str, done: int, total: int | None) -> None:
            progress.update(task, description=what, completed=done, total=total)

        yield move


def _run(work: Coroutine[Any, Any, int]) -> None:
    configure_logs(logging.WARNING)
    sys.exit(asyncio.run(work))


@click.command()
@click.argument("occurrence", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the reports as JSON.")
@click.option("--no-wait", is_flag=True, help="Leave out what is not written yet; say how much.")
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(0, 3600),
    default=WAIT_S,
    show_default=True,
    help="Seconds to wait until everything is written.",
)
def audit(occurrence: str | None, as_json: bool, no_wait: bool, wait_s: float) -> None:
    """Prove that Redis, PostgreSQL and the payment provider agree.

    Looks at OCCURRENCE (by any of its names), or at all that are published. Exit code 1 when
    anything does not agree.
    """
    _run(_audit(occurrence, as_json=as_json, wait_s=0.0 if no_wait else wait_s, strict=not no_wait))


async def _audit(occurrence: str | None, *, as_json: bool, wait_s: float, strict: bool) -> int:
    from engine.audit import display
    from engine.audit.audit import Audit, wait_for_backlog
    from engine.payments import make_provider
    from engine.sale.inventory.inspection import published

    async with _servers() as servers:
        provider = make_provider(servers.settings)
        try:
            with _bar() as move:
                unwritten = await wait_for_backlog(
                    servers.client,
                    seconds=wait_s,
                    progress=lambda n: move(f"not written yet: {n}", 0, None),
                )
                async with servers.pool.acquire() as connection:
                    audits = Audit(
                        servers.client, connection, provider, lambda what: move(what, 0, None)
                    )
                    if occurrence:
                        wanted = [occurrence]
                    else:
                        wanted = sorted(await published(servers.client))
                        wanted += await audits.unpublished()
                    reports = await audits.run(wanted)
        finally:
            await provider.close()
    late = unwritten if strict else 0
    display.show(reports, unwritten=late, as_json=as_json)
    return int(late > 0 or not all(report.ok for report in reports))


@click.command()
@click.argument("occurrence")
@click.option(
    "--force", is_flag=True, help="Also while it is on sale and not paused, or with records parked."
)
def rebuild(occurrence: str, force: bool) -> None:
    """Restore OCCURRENCE in Redis from PostgreSQL and the streams.

    It is off sale until that is done. Run `onsale audit` afterwards.
    """
    _run(_rebuild(occurrence, force=force))


async def _rebuild(occurrence: str, *, force: bool) -> int:
    from engine.audit.rebuild import rebuild as restore

    async with _servers() as servers:
        with _bar() as move:
            restored = await restore(
                servers.client,
                servers.pool,
                servers.settings,
                occurrence,
                force=force,
                progress=move,
            )
    click.echo(
        f"Restored: orders {restored.orders}, holds {restored.holds}; holds dropped because an"
        f" order has their stock: {restored.holds_dropped}. Now run: onsale audit {occurrence}"
    )
    return 0


@click.command()
@click.argument("occurrence")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def fairness(occurrence: str, as_json: bool) -> None:
    """Count who came in ahead of the turn in the line of OCCURRENCE.

    Reckoned from the line's records in PostgreSQL. Exit code 1 when anybody did.
    """
    _run(_fairness(occurrence, as_json=as_json))


async def _fairness(occurrence: str, *, as_json: bool) -> int:
    from engine.audit import display
    from engine.audit.fairness import read_fairness

    async with _servers() as servers, servers.pool.acquire() as connection:
        known = await connection.fetchval("SELECT 1 FROM occurrences WHERE id = $1", occurrence)
        if known is None:
            raise NotFoundError(f"PostgreSQL has no occurrence {occurrence}")
        report = await read_fairness(connection, occurrence)
    display.show_fairness(report, as_json=as_json)
    return int(report.inversions > 0)


@click.group("dead-letters")
def dead_letters() -> None:
    """List and replay records that could not be written."""


@dead_letters.command("list")
def list_letters() -> None:
    """Show what is parked, oldest first. Exit code 1 when there is anything."""
    _run(_list())


async def _list() -> int:
    from engine.core.times import rfc3339
    from engine.write_behind.dead_letters import waiting

    count = 0
    async with _servers() as servers, servers.pool.acquire() as connection:
        async for letter in waiting(connection):
            count += 1
            click.echo(
                f"{letter.id}  {rfc3339(letter.parked_at)}  {letter.entry.stream}"
                f" {letter.entry.id}  {letter.entry.kind}  attempts {letter.attempts}\n"
                f"    {letter.error}"
            )
    click.echo(f"Parked records: {count}", err=True)
    return int(count > 0)


@dead_letters.command("replay")
@click.argument("letters", nargs=-1)
def replay_letters(letters: tuple[str, ...]) -> None:
    """Write parked records now: the LETTERS named by id, or all. Exit code 1 when any fails."""
    _run(_replay(frozenset(letters)))


async def _replay(wanted: frozenset[str]) -> int:
    from engine.write_behind.dead_letters import replay, waiting
    from engine.write_behind.names import NamesCache

    written = failed = 0
    async with _servers() as servers, servers.pool.acquire() as connection:
        cache = NamesCache(servers.client)
        async for letter in waiting(connection):
            if wanted and letter.id not in wanted:
                continue
            replayed = await replay(connection, letter, cache)
            if replayed.error:
                failed += 1
                click.echo(f"{letter.id}  {replayed.error}", err=True)
            else:
                written += 1
    click.echo(f"Written now: {written}. Still parked: {failed}.")
    return int(failed > 0 or (bool(wanted) and written < len(wanted)))
