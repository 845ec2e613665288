"""The control API against its own description: generated requests, no 500, answers as described."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import orjson
import pytest
import schemathesis
from aiohttp import web
from hypothesis import HealthCheck, Phase
from hypothesis import settings as generation
from schemathesis.checks import positive_data_acceptance

from engine.app.control import control_openapi, make_control_app
from engine.core.settings import Settings
from engine.platform.valkey.connections import connect
from engine.sale.inventory.publication import publish
from engine.sale.inventory.snapshot import Room
from tests.http.running import HOUR_MS, SHARD, make_snapshot
from tests.http.test_edge_schemathesis import EXAMPLES, Running

SNAPSHOT = make_snapshot(room=Room(opens_at=time.time_ns() // 1_000_000 + HOUR_MS))
TOKEN = Settings().control_token

schema = schemathesis.openapi.from_dict(orjson.loads(control_openapi()))


@schema.hook
def map_path_parameters(
    context: schemathesis.HookContext, path_parameters: dict[str, Any] | None
) -> dict[str, Any] | None:
    """Ask for the published occurrence, mostly; what is no id is left as it is."""
    del context
    given = str((path_parameters or {}).get("occurrence", ""))
    if path_parameters and len(given) == 32 and not given.endswith("0"):
        path_parameters["occurrence"] = SNAPSHOT.occurrence
    return path_parameters


class RunningControl(Running):
    """A control API in a thread of its own."""

    async def _serve(self) -> None:
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(connect(self._settings.redis_url))
            await client.flushall()
            await publish(client, SNAPSHOT, shard=SHARD)
            runner = web.AppRunner(make_control_app(self._settings), access_log=None)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            self._ready.set()
            await self._end.wait()


@pytest.fixture(scope="module")
def running(valkey_url: str) -> Iterator[Running]:
    one = RunningControl(Settings(redis_url=f"{valkey_url}/0"))
    one.start()
    yield one
    one.stop()


@schema.parametrize()
@generation(
    derandomize=True,
    max_examples=EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_as_described(case: schemathesis.Case[Any], running: Running) -> None:
    # a change names at least one thing, and a room that is off takes few commands
    case.call_and_validate(
        base_url=running.url,
        headers={"Authorization": f"Bearer {TOKEN}"},
        excluded_checks=[positive_data_acceptance],
    )
