"""People who try to get in without waiting. Whatever of it succeeds is a broken promise."""

from __future__ import annotations

import random
import time

import websocket
from locust import between, task

from engine.core.live_tickets import LiveTickets
from engine.core.tokens import TokenSigner
from loadtest.users.buyer import Buyer
from loadtest.users.installation import SETTINGS
from loadtest.users.visitor import Guest, Json

_FORGED = "another secret, of which nobody in this installation knows"
_KEPT = 100  # guests with a place, whom others try to be
_UNAUTHORIZED = 401


class Intruder(Buyer):
    """Attempts of all kinds, one after the other; now and then a purchase, and once more with it."""

    weight = 6
    wait_time = between(0.0, 0.3)
    others: list[Guest] = []  # noqa: RUF012 - shared by all of them on purpose

    @task(6)
    def hold_uncalled(self) -> None:
        """Hold without a place, and with one that was not called."""
        guest = self.guest()
        self._must_not_hold(guest, "nobody")
        view = self.join(guest)
        if view["state"] in {"pre-queue", "waiting"}:
            self._must_not_hold(guest, "waiting", since=guest)
        del Intruder.others[: -_KEPT + 1]
        Intruder.others.append(guest)

    @task(6)
    def enter_uncalled(self) -> None:
        """Go in before the turn, naming the number of somebody else."""
        guest = self.guest()
        self._must_not_enter(guest, {}, {"not_in_queue"})
        if self.join(guest)["state"] in {"pre-queue", "waiting"}:
            self._must_not_enter(guest, {"number": 1, "index": 0}, {"not_called"})
            self._must_not_hold(guest, "entered uncalled", since=guest)

    @task(3)
    def be_somebody_else(self) -> None:
        """Hold, go in and look with tokens that were made up for somebody who has a place."""
        if not Intruder.others:
            return
        other = random.choice(Intruder.others)  # noqa: S311 - no secret
        signer = TokenSigner(_FORGED)
        claims = signer.guest(None, 60)
        forged = Guest(signer.sign(type(claims)(**{**_fields(claims), "sub": other.buyer})), "")
        for method, path in (("POST", "holds"), ("POST", "queue/enter"), ("GET", "queue")):
            body: Json | None = {"lines": []} if path == "holds" else {}
            self._must_fail(
                method, path, forged, None if method == "GET" else body, {"unauthorized"}
            )

    @task(3)
    def join_with_the_proof_of_another(self) -> None:
        """Join with what somebody else has worked for, or with nothing."""
        guest, other = self.guest(), self.guest()
        proof = self.proof(other)
        if SETTINGS.door_difficulty:
            refused = {"challenge_failed", "queue_closed"}
            self._must_fail("POST", "queue", guest, {"challenge": proof}, refused)
            self._must_fail("POST", "queue", guest, {}, refused)

    @task(3)
    def replay_a_ticket(self) -> None:
        """Open two live connections with one ticket, and one with a ticket that was made up."""
        guest = self.guest()
        if self.join(guest)["state"] not in {"pre-queue", "waiting"}:
            return
        ticket = self.ticket(guest)
        self.open_line(ticket).shutdown()
        self._must_not_open(ticket, "a ticket was good for two connections")
        forged = LiveTickets(_FORGED).issue(guest.buyer, self.occurrence)
        self._must_not_open(forged, "a forged ticket was good")
        elsewhere = LiveTickets(SETTINGS.token_secret).issue(guest.buyer, "0" * 32)
        self._must_not_open(elsewhere, "a ticket for another line was good")

    @task(1)
    def use_a_pass_twice(self) -> None:
        """Buy like anybody, and then hold again on the pass that was used or left."""
        guest = self.guest()
        if not self.get_in(guest, self.join(guest)):
            return
        self.shop(guest)
        if self.look(guest)["state"] in {"done", "expired"}:
            self._must_not_hold(guest, "done", since=guest)

    def _must_not_hold(self, guest: Guest, who: str, since: Guest | None = None) -> None:
        line = {"ticket_type": self._kinds()[0], "quantity": 1}
        self._must_fail("POST", "holds", guest, {"lines": [line]}, {"not_inside"}, who)

    def _must_not_enter(self, guest: Guest, body: Json, refusals: set[str]) -> None:
        self._must_fail("POST", "queue/enter", guest, body, refusals | {"queue_closed"})

    def _must_fail(
        self,
        method: str,
        path: str,
        guest: Guest,
        body: Json | None,
        refusals: set[str],
        who: str = "",
    ) -> None:
        """Try something; it must be refused with one of these codes."""
        name = f"refused: {method} {path}" + (f" ({who})" if who else "")
        answer = self.ask(
            method, f"{self.place}/{path}", name, token=guest.token, body=body, refusals=refusals
        )
        if not answer.refused:
            self.broken(f"{name}: it was granted")

    def _must_not_open(self, ticket: str, promise: str) -> None:
        began = time.perf_counter()
        try:
            socket = self.open_line(ticket)
        except websocket.WebSocketBadStatusException as error:
            expected = error.status_code == _UNAUTHORIZED
            self.note(
                "refused: line", time.perf_counter() - began, None if expected else error
            )
        else:
            socket.shutdown()
            self.broken(promise)
