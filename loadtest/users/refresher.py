"""People who press reload all the time, and join again and again."""

from __future__ import annotations

import random
import time

from locust import between, task

from loadtest.users.visitor import Visitor

_RELOADS = 30
_PAUSE_S = (0.0, 0.2)
_JOINS_AGAIN = 0.2  # of the reloads


class Refresher(Visitor):
    """Never waits as long as it is told to; never gains or loses by that."""

    weight = 6
    wait_time = between(0.1, 1.0)

    @task
    def reload(self) -> None:
        """Come as somebody new, and look again and again."""
        guest = self.guest()
        number = self.join(guest)["number"]
        for _ in range(_RELOADS):
            time.sleep(random.uniform(*_PAUSE_S))  # noqa: S311 - no secret
            self.ask("GET", f"{self.place}/queue/serving", "serving")
            again = random.random() < _JOINS_AGAIN  # noqa: S311 - no secret
            view = self.join(guest) if again else self.look(guest)
            if view["state"] not in {"pre-queue", "waiting"}:
                return
            if number not in {None, view["number"]}:
                self.broken(f"reloading moved number {number} to {view['number']}")
            number = view["number"]
