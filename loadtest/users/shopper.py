"""What it takes to wait in line, go in when called, and buy."""

from __future__ import annotations

import random
import time
from typing import ClassVar

import websocket
from locust.exception import RescheduleTask

from loadtest.users.installation import SETTINGS
from loadtest.users.visitor import Guest, Json, Visitor

_TICKETS_MAX = 4
_POLLS_MAX = 100
_POLL_S = 0.2
_SOCKETS = 0.5  # of the buyers wait on a live connection, the others ask
_CARD = "pm_card_visa"
_OVER = frozenset({"done", "expired", "closed"})
_TAKEN = frozenset({"sold_out", "lines_unavailable", "not_inside"})


class Shopper(Visitor):
    """A visitor who can wait and buy."""

    abstract = True
    kinds: ClassVar[tuple[str, ...]] = ()

    def get_in(self, guest: Guest, view: Json) -> bool:
        """Wait to be called, and go in; False: it came to nothing."""
        listens = random.random() < _SOCKETS  # noqa: S311 - no secret
        number = view["number"]
        while view["state"] in {"pre-queue", "waiting"}:
            view = self._listen(guest, view) if listens else self._poll(guest, view)
            if number is not None and view["number"] != number:
                self.broken(f"a place moved from number {number} to {view['number']}")
            number = view["number"]
        if view["state"] in _OVER:
            return False
        answer = self.ask(
            "POST",
            f"{self.place}/queue/enter",
            "enter",
            token=guest.token,
            body={},
            refusals={"place_expired", "queue_closed"},
        )
        return not answer.refused

    def shop(self, guest: Guest) -> None:
        """Hold tickets, and pay."""
        line = {
            "ticket_type": random.choice(self.ticket_types()),  # noqa: S311 - no secret
            "quantity": random.randint(1, _TICKETS_MAX),  # noqa: S311 - the same
        }
        answer = self.ask(
            "POST",
            f"{self.place}/holds",
            "hold",
            token=guest.token,
            body={"lines": [line]},
            refusals=_TAKEN,
        )
        if answer.refused:  # somebody else may come in
            self.ask("DELETE", f"{self.place}/queue", "leave", token=guest.token)
            return
        checkout = self.ask(
            "POST",
            f"{self.place}/holds/{answer.body['id']}/checkout",
            "checkout",
            token=guest.token,
            body={"email": "locust@example.org", "name": "A Locust"},
            refusals={"hold_ended"},
        )
        if not checkout.refused:
            self._pay(checkout.body["payment"])
            self._see_confirmed(f"{self.place}/orders/{checkout.body['order']['id']}", guest)

    def ticket_types(self) -> tuple[str, ...]:
        """Return the codes of what is sold; the first one asks for all."""
        if not Shopper.kinds:
            view = self.ask("GET", self.place, "occurrence").body
            Shopper.kinds = tuple(kind["code"] for kind in view["ticket_types"])
        return Shopper.kinds

    def _poll(self, guest: Guest, view: Json) -> Json:
        time.sleep(view["ask_in_ms"] / 1000)  # locust has made this let others go on
        return self.look(guest)

    def _listen(self, guest: Guest, view: Json) -> Json:
        """Wait on a live connection for a word to this buyer; ask where that breaks off."""
        try:
            with self.line(guest) as socket:
                while True:
                    message = self.hear(socket)
                    if message["kind"] == "you" and message["state"] != view["state"]:
                        return message
                    if message["kind"] == "serving" and message["drawn"] and not view["number"]:
                        time.sleep(random.uniform(0.0, 2.0))  # noqa: S311 - spreads the questions
                        return self.look(guest)
        except (websocket.WebSocketException, OSError):
            return self._poll(guest, view)

    def _pay(self, payment: Json) -> None:
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
            if answer.get("status") != "succeeded":
                response.failure(f"not paid: {response.status_code}: {response.text}")
                raise RescheduleTask
            response.success()

    def _see_confirmed(self, path: str, guest: Guest) -> None:
        for _ in range(_POLLS_MAX):
            if self.ask("GET", path, "order", token=guest.token).body["state"] == "confirmed":
                return
            time.sleep(_POLL_S)
        self.broken(f"{path} was paid and is not confirmed")
