"""People who try to get in without waiting. Whatever of it succeeds is a broken promise."""

from __future__ import annotations

import random
import time
from typing import ClassVar

import msgspec
import websocket
from locust import between, task

from engine.core.tokens import TokenSigner
from engine.platform.http.websocket.tickets import LiveTickets
from loadtest.users.installation import SETTINGS
from loadtest.users.shopper import Shopper
from loadtest.users.visitor import Guest, Json, drop

_FORGED = "another secret, of which nobody in this installation knows"
_KEPT = 100  # guests with a place, whom others try to be
_UNAUTHORIZED = 401


class Intruder(Shopper):
    """Attempts of all kinds; now and then a purchase, and another try with its pass."""

    weight = 6
    wait_time = between(0.0, 0.3)
    others: ClassVar[list[Guest]] = []

    @task(6)
    def hold_uncalled(self) -> None:
        """Hold without a place, and with one that was not called."""
        guest = self.guest()
        self._must_not_hold(guest, "nobody")
        self.join(guest)
        self._must_not_hold(guest, "in line")
        del Intruder.others[: -_KEPT + 1]
        Intruder.others.append(guest)

    @task(6)
    def enter_uncalled(self) -> None:
        """Go in without a place, and before the turn."""
        guest = self.guest()
        self._try("POST", "queue/enter", guest, {}, {"not_in_queue"})
        self.join(guest)
        answer = self.ask(
            "POST",
            f"{self.place}/queue/enter",
            "refused: POST queue/enter (in line)",
            token=guest.token,
            body={},
            refusals={"not_called", "queue_closed"},
        )
        if answer.refused:
            self._must_not_hold(guest, "entered uncalled")
            return
        serving = self.ask("GET", f"{self.place}/queue/serving", "serving").body["serving"]
        if answer.body["number"] > serving:  # else it was called in this very moment
            self.broken(f"number {answer.body['number']} went in at {serving}")
        self.ask("DELETE", f"{self.place}/queue", "leave", token=guest.token)
        self._must_not_hold(guest, "left")

    @task(3)
    def be_somebody_else(self) -> None:
        """Hold, go in and look with tokens that were made up for somebody who has a place."""
        if not Intruder.others:
            return
        other = random.choice(Intruder.others)  # noqa: S311 - no secret
        signer = TokenSigner(_FORGED)
        claims = signer.guest(None, 60)
        token = signer.sign(msgspec.structs.replace(claims, sub=other.buyer))
        forged = Guest(token, other.buyer)
        line = {"ticket_type": self.ticket_types()[0], "quantity": 1}
        refused = {"unauthorized"}
        self._try("POST", "holds", forged, {"lines": [line]}, refused, "forged token")
        self._try("POST", "queue/enter", forged, {}, refused, "forged token")
        self._try("GET", "queue", forged, None, refused, "forged token")

    @task(3)
    def join_with_the_proof_of_another(self) -> None:
        """Join with what somebody else has worked for, or with nothing."""
        guest, other = self.guest(), self.guest()
        proof = self.proof(other)
        if SETTINGS.door_difficulty:
            refused = {"challenge_required", "queue_closed"}
            self._try("POST", "queue", guest, {"challenge": proof}, refused, "proof of another")
            self._try("POST", "queue", guest, {}, refused, "no proof")

    @task(3)
    def replay_a_ticket(self) -> None:
        """Open two live connections with one ticket, and one with a ticket that was made up."""
        guest = self.guest()
        if self.join(guest)["state"] not in {"pre-queue", "waiting"}:
            return
        ticket = self.ticket(guest)
        drop(self.open_line(ticket))
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
        answer = self.ask(
            "GET",
            f"{self.place}/queue",
            "place",
            token=guest.token,
            refusals={"not_in_queue"},  # there was nothing to buy, so the place was given up
        )
        if answer.refused or answer.body["state"] in {"done", "expired"}:
            self._must_not_hold(guest, "done")

    def _must_not_hold(self, guest: Guest, who: str) -> None:
        line = {"ticket_type": self.ticket_types()[0], "quantity": 1}
        self._try("POST", "holds", guest, {"lines": [line]}, {"not_inside"}, who)

    def _try(
        self,
        method: str,
        path: str,
        guest: Guest,
        body: Json | None,
        refusals: set[str],
        who: str = "nobody",
    ) -> None:
        """Try something that must be refused, with one of these codes."""
        name = f"refused: {method} {path} ({who})"
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
            self.note("refused: line", time.perf_counter() - began, None if expected else error)
        else:
            drop(socket)
            self.broken(promise)
