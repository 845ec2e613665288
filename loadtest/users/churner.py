"""People whose network comes and goes: every live connection is torn down again and again."""

from __future__ import annotations

import random
import time

import websocket
from locust import between, task

from loadtest.users.shopper import Shopper
from loadtest.users.visitor import Guest, Json

_TIMES = 12
_PAUSE_S = (0.0, 0.5)


class Churner(Shopper):
    """Has the same place after every connection; then waits and buys like anybody."""

    weight = 6
    wait_time = between(0.1, 0.5)

    @task
    def come_and_go(self) -> None:
        """Come as somebody new, connect and drop out again and again, go on as a buyer."""
        guest = self.guest()
        view = self.join(guest)
        for _ in range(_TIMES):
            seen = self._glance(guest)
            if seen is None:
                continue
            if None not in {view["number"], seen["number"]} and seen["number"] != view["number"]:
                self.broken(f"reconnecting moved number {view['number']} to {seen['number']}")
            if seen["state"] not in {"pre-queue", "waiting"}:
                break
            view = seen
            time.sleep(random.uniform(*_PAUSE_S))  # noqa: S311 - no secret
        if self.get_in(guest, self.look(guest)):
            self.shop(guest)

    def _glance(self, guest: Guest) -> Json | None:
        """Connect, read the first two messages, and drop the connection."""
        began = time.perf_counter()
        try:
            with self.line(guest) as socket:
                self.hear(socket)
                view = self.hear(socket)
        except (websocket.WebSocketException, OSError) as error:
            self.note("first messages", time.perf_counter() - began, error)
            return None
        return view
