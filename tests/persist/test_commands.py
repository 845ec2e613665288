from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from devkit.stripe import StripeLookalike
from engine.core.ids import new_id
from engine.core.settings import Settings
from engine.platform.valkey import keys
from engine.write_behind.consumer import Consumer
from tests.persist.conftest import SHARD, Database, drain, ordered, record
from tests.persist.test_audit import STANDING, Auditor, provider, sold

__all__ = ["provider", "sold"]

PROJECT = Path(__file__).resolve().parents[2]
Run = Callable[..., Coroutine[Any, Any, tuple[int, str, str]]]


@pytest.fixture
def run(settings: Settings, stripe: StripeLookalike) -> Run:
    """Run a command as a person does; gives the exit code, stdout and stderr."""

    async def run(*arguments: str, **changes: str) -> tuple[int, str, str]:
        finished = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "engine.app.cli", *arguments],
            check=False,
            capture_output=True,
            cwd=PROJECT,
            text=True,
            env={
                **os.environ,
                "COLUMNS": "200",
                "REDIS_URL": settings.redis_url,
                "DATABASE_URL": settings.database_url,
                "STRIPE_API_BASE": stripe.url,
                "STRIPE_SECRET_KEY": stripe.secret_key,
                "STRIPE_PUBLISHABLE_KEY": stripe.publishable_key,
                "STRIPE_WEBHOOK_SECRET": stripe.webhook_secret,
                **changes,
            },
            timeout=60,
        )
        return finished.returncode, finished.stdout, finished.stderr

    return run


async def test_an_audit_without_findings_exits_with_0(sold: Auditor, run: Run) -> None:
    code, out, err = await run("audit")
    assert (code, err) == (0, "")
    assert "everything agrees" in out
    assert "orders 4, tickets 2" in out


async def test_an_audit_with_findings_names_them_and_exits_with_1(sold: Auditor, run: Run) -> None:
    await sold.client.setrange(f"{sold.prefix}:seats:1", 19, "s")
    code, out, _ = await run("audit", sold.box.occurrence)
    assert code == 1
    assert "NOT everything agrees" in out
    assert "B-13-6: it is 's', but nobody makes it '.'" in out
    code, out, _ = await run("audit", sold.box.occurrence, "--json")
    assert code == 1
    document = json.loads(out)
    assert document["ok"] is False
    (report,) = document["occurrences"]
    (check,) = [check for check in report["checks"] if check["name"] == "seats"]
    assert [finding["subject"] for finding in check["findings"]] == ["B-13-6"]


async def test_what_is_not_written_in_time_fails_unless_it_is_left_out(
    sold: Auditor, run: Run
) -> None:
    await sold.box.pending(new_id(), STANDING)
    code, out, _ = await run("audit", "--wait", "0.2")
    assert code == 1
    assert "still not in PostgreSQL: 1." in out
    code, out, _ = await run("audit", "--no-wait")
    assert code == 0
    assert "records on their way 1" in out


async def test_a_server_that_is_away_is_one_sentence(sold: Auditor, run: Run) -> None:
    code, _, err = await run("audit", DATABASE_URL="postgresql://postgres@127.0.0.1:1/onsale")
    assert code == 2
    assert "127.0.0.1:1" in err
    assert "Traceback" not in err
    code, _, err = await run("audit", REDIS_URL="redis://127.0.0.1:1/0")
    assert code == 2
    assert "127.0.0.1:1" in err
    assert "Traceback" not in err


async def test_rebuilding_and_then_the_audit(sold: Auditor, run: Run) -> None:
    code, _, err = await run("rebuild", sold.box.occurrence)
    assert code == 2
    assert "onsale pause" in err
    await sold.client.delete(f"{keys.prefix(SHARD, sold.box.occurrence)}:conf")
    code, out, _ = await run("rebuild", sold.box.occurrence)
    assert code == 0
    assert "Restored: orders 4, holds 1" in out
    assert (await run("audit"))[0] == 0


async def test_an_id_that_is_none_is_refused(run: Run) -> None:
    code, _, err = await run("rebuild", "tonight")
    assert code == 2
    assert "there is no event or occurrence tonight" in err


async def test_dead_letters_are_listed_and_replayed(
    sold: Auditor, run: Run, redis_client: Redis, consumer: Consumer, database: Database
) -> None:
    assert await run("dead-letters", "list") == (0, "", "Parked records: 0\n")
    await record(redis_client, "order.placed", ordered(sold.box.snapshot, 99, total=1))
    await drain(consumer, redis_client)
    code, out, _ = await run("dead-letters", "list")
    assert code == 1
    assert "ck_orders_total" in out
    code, out, err = await run("dead-letters", "replay")
    assert (code, "ck_orders_total" in err) == (1, True)
    assert "Written now: 0. Still parked: 1." in out
    await database.connection.execute("ALTER TABLE orders DROP CONSTRAINT ck_orders_total")
    code, out, err = await run("dead-letters", "replay")
    assert (code, err) == (0, "")
    assert "Written now: 1." in out


@pytest.mark.parametrize(("letters", "lines"), [(1, 1), (300, 1), (300, 20)])
async def test_a_list_that_is_read_in_part_ends_quietly(
    settings: Settings, database: Database, letters: int, lines: int
) -> None:
    await database.connection.execute(
        "INSERT INTO dead_letters (stream, entry, kind, record, error)"
        " SELECT 'x', n::text, 'order.placed', '', repeat('why ', 99)"
        " FROM generate_series(1, $1) n",
        letters,
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "engine.app.cli", "dead-letters", "list"),
        cwd=PROJECT,
        env={
            **os.environ,
            "REDIS_URL": settings.redis_url,
            "DATABASE_URL": settings.database_url,
        },
        stdout=(pipe := os.pipe())[1],
        stderr=asyncio.subprocess.PIPE,
    )
    os.close(pipe[1])
    with os.fdopen(pipe[0], "rb") as output:
        for _ in range(lines):
            await asyncio.to_thread(output.readline)
    _, errors = await process.communicate()
    assert process.returncode in {1, 141}  # all of a short list may have been written before
    assert errors.decode() in {"", f"Parked records: {letters}\n"}
