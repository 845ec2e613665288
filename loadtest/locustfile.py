"""Buyers for locust, and a spike of them, on a running ``onsale up``.

    locust -f loadtest/locustfile.py --headless [--occurrence ID]

At the end the books are compared (``onsale audit``). Exit code 1 when they do
not agree, or when a request got an answer that no buyer should get; being told
that something is sold out is no failure.
"""

from __future__ import annotations

import logging
import os
import random
import subprocess
import sys
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, ClassVar

import orjson
from locust import FastHttpUser, LoadTestShape, between, events, task
from locust.env import Environment
from locust.exception import StopUser

from engine.cli import ADDRESSES, fill_environment
from engine.core.ids import new_id
from engine.settings import Settings

_PROJECT = Path(__file__).parents[1]
_TICKETS_MAX = 4
_POLLS_MAX = 100
_POLL_S = 0.2
_AUDIT_S_MAX = 300
_CREATED, _OK, _CONFLICT = 201, 200, 409
_TAKEN = frozenset({"sold_out", "lines_unavailable"})
_CARD = "pm_card_visa"
# seconds since the start, buyers at the same time, buyers who come a second
_STAGES = ((5, 10, 10), (30, 200, 100), (40, 20, 100))

fill_environment(Path(os.environ.get("ONSALE_ENV_FILE") or ADDRESSES))
SETTINGS = Settings.from_environment()
log = logging.getLogger(__name__)


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator] # locust's events
def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--occurrence", default="", help="What is sold; else the first on sale.")


class Buyer(FastHttpUser):
    """One buyer after the other: guest, hold, checkout, payment, ticket."""

    host = SETTINGS.public_url
    wait_time = between(0.1, 1.0)
    occurrence: ClassVar[str] = ""
    kinds: ClassVar[list[str]] = []

    def on_start(self) -> None:
        """Find out what is on sale; the first buyer does it for all."""
        if not Buyer.occurrence:
            Buyer.occurrence = self.environment.parsed_options.occurrence or self._first_on_sale()
        if not Buyer.kinds:
            view = self._get(f"/v1/occurrences/{Buyer.occurrence}", "occurrence")
            Buyer.kinds = [kind["code"] for kind in view["ticket_types"]]

    @task
    def buy(self) -> None:
        """Come as somebody new, try once, pay what was had."""
        guest = self._post("/v1/guests", "guest", {}, "")
        if guest is None:
            return
        token: str = guest["token"]
        place = f"/v1/occurrences/{Buyer.occurrence}"
        line = {
            "ticket_type": random.choice(Buyer.kinds),  # noqa: S311 - no secret
            "quantity": random.randint(1, _TICKETS_MAX),  # noqa: S311 - the same
        }
        hold = self._post(f"{place}/holds", "hold", {"lines": [line]}, token)
        if hold is None:
            return
        checkout = self._post(
            f"{place}/holds/{hold['id']}/checkout",
            "checkout",
            {"email": "locust@example.org", "name": "A Locust"},
            token,
        )
        if checkout is None:
            return
        self._pay(checkout["payment"])
        self._see_confirmed(f"{place}/orders/{checkout['order']['id']}", token)

    def _first_on_sale(self) -> str:
        found = self._get("/v1/occurrences?limit=100", "occurrences")["items"]
        for item in found:
            if item["sale"]["state"] == "open":
                return str(item["id"])
        log.error("nothing is on sale: run `onsale up`, or publish something")
        raise StopUser

    def _get(self, path: str, name: str, token: str = "") -> Any:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        with self.client.get(path, name=name, headers=headers, catch_response=True) as response:
            if response.status_code != _OK:
                response.failure(f"{response.status_code}: {response.text}")
                raise StopUser
            response.success()
            return response.json()

    def _post(self, path: str, name: str, body: dict[str, Any], token: str) -> Any | None:
        """Return the answer, or None when the tickets were taken by others."""
        headers = {"Idempotency-Key": f"locust-{new_id()}"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        with self.client.post(
            path, name=name, json=body, headers=headers, catch_response=True
        ) as response:
            answer = response.json() if response.text else {}
            if response.status_code == _CREATED:
                response.success()
                return answer
            if response.status_code == _CONFLICT and answer.get("code") in _TAKEN:
                response.success()
            else:
                response.failure(f"{response.status_code}: {response.text}")
            return None

    def _pay(self, payment: dict[str, Any]) -> None:
        with self.client.post(
            f"{SETTINGS.stripe_api_base}/v1/payment_intents/{payment['intent']}/confirm",
            name="pay",
            data={
                "key": payment["publishable_key"],
                "client_secret": payment["client_secret"],
                "payment_method": _CARD,
                "return_url": SETTINGS.public_url,
            },
            catch_response=True,
        ) as response:
            answer = response.json() if response.text else {}
            if answer.get("status") == "succeeded":
                response.success()
            else:
                response.failure(f"not paid: {response.status_code}: {response.text}")

    def _see_confirmed(self, path: str, token: str) -> None:
        for _ in range(_POLLS_MAX):
            if self._get(path, "order", token)["state"] == "confirmed":
                return
            time.sleep(_POLL_S)  # locust has made this let others go on
        self.environment.events.request.fire(
            request_type="ORDER",
            name="confirmed",
            response_time=_POLLS_MAX * _POLL_S * 1000,
            response_length=0,
            exception=TimeoutError(f"{path} was paid and is not confirmed"),
            context={},
        )


class Spike(LoadTestShape):
    """A few buyers, then all at once, then a few: 40 seconds in all."""

    def tick(self) -> tuple[int, float] | None:
        """Return how many buyers there should be and how fast they come; None ends it."""
        now = self.get_run_time()  # type: ignore[no-untyped-call] # locust's
        for until_s, users, rate in _STAGES:
            if now < until_s:
                return users, rate
        return None


@events.quitting.add_listener  # type: ignore[untyped-decorator] # the same
def _check(environment: Environment, **_: object) -> None:
    """Compare the books; the exit code says what came of it."""
    failures = environment.stats.total.num_failures
    if failures:
        log.error("%d requests failed", failures)
    agreed = bool(Buyer.occurrence) and _audit_agrees(Buyer.occurrence)
    environment.process_exit_code = int(failures > 0 or not agreed)


def _audit_agrees(occurrence: str) -> bool:
    result = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "engine.cli", "audit", occurrence, "--json"],
        cwd=_PROJECT,
        capture_output=True,
        timeout=_AUDIT_S_MAX,
        check=False,
    )
    if result.returncode == 0:
        (found,) = orjson.loads(result.stdout)["occurrences"]
        log.info("the audit agrees: %d orders, %d tickets", found["orders"], found["tickets"])
        return True
    log.error("the audit: %s", (result.stdout or result.stderr).decode(errors="replace"))
    return False
