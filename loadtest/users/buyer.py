"""A buyer who waits in line, goes in when called, and buys."""

from __future__ import annotations

from locust import between, task

from loadtest.users.shopper import Shopper


class Buyer(Shopper):
    """One buyer after the other: guest, line, hold, checkout, payment, ticket."""

    weight = 2
    wait_time = between(0.1, 1.0)

    @task
    def buy(self) -> None:
        """Come as somebody new, wait, try once, pay what was had."""
        guest = self.guest()
        if self.get_in(guest, self.join(guest)):
            self.shop(guest)
