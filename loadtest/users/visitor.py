"""Somebody at the shop, as locust's users are: requests, a place in line, its live connection."""

from __future__ import annotations

import random
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec
import orjson
import websocket
from locust import FastHttpUser
from locust.exception import RescheduleTask

from engine.core.ids import new_id
from engine.queue.gate.proof_of_work import Challenge, make_challenge, proof_keys, solve
from loadtest.users.installation import SETTINGS

Json = dict[str, Any]

_TRIES_MAX = 5  # of a request that is told to come back later
_LATER = frozenset({429, 503})
_REFUSALS = 400
_SOLVES = 0.05  # of the visitors solve a challenge; the others' proofs are made with the secret
_SOCKET_S = 30.0  # without a word: the server pings more often
_KEYS = proof_keys(SETTINGS.token_secret)


class Guest(NamedTuple):
    """A visitor's token and id."""

    token: str
    buyer: str


class Answer(NamedTuple):
    """``code``: of the problem, empty when there is none."""

    code: str
    body: Any

    @property
    def refused(self) -> bool:
        """Whether the shop said no."""
        return self.code != ""


class Visitor(FastHttpUser):
    """What all users can do."""

    abstract = True
    host = SETTINGS.public_url

    @property
    def occurrence(self) -> str:
        """What is sold, an id."""
        return str(self.environment.parsed_options.occurrence)

    @property
    def place(self) -> str:
        """Where it is sold."""
        return f"/v1/occurrences/{self.occurrence}"

    def ask(
        self,
        method: str,
        path: str,
        name: str,
        *,
        token: str = "",
        body: Json | None = None,
        refusals: Collection[str] = (),
    ) -> Answer:
        """Send a request, again when the shop asks for that.

        ``refusals``: codes of problems that are no failure here. Anything else
        is one, and ends what the user is doing.
        """
        headers = {"Idempotency-Key": f"locust-{new_id()}"} if method == "POST" else {}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        for _ in range(_TRIES_MAX):
            with self.client.request(
                method, path, name=name, json=body, headers=headers, catch_response=True
            ) as response:
                status = response.status_code
                answer = orjson.loads(response.content) if response.content else {}
                if status in _LATER:
                    response.success()
                    later_s = float(response.headers.get("Retry-After", "1"))
                elif 0 < status < _REFUSALS:
                    response.success()
                    return Answer("", answer)
                elif answer.get("code") in refusals:
                    response.success()
                    return Answer(answer["code"], answer)
                else:
                    response.failure(f"{status}: {response.text}")
                    raise RescheduleTask
            time.sleep(later_s * random.uniform(1.0, 1.5))  # noqa: S311 - spreads them, no secret
        raise RescheduleTask

    def guest(self) -> Guest:
        """Become somebody new."""
        found = self.ask("POST", "/v1/guests", "guest", body={}).body
        return Guest(found["token"], found["buyer"])

    def proof(self, guest: Guest) -> str:
        """Return a proof of work for the door.

        A whole crowd has one machine here, so most proofs are made with the
        installation's secret, and easy. They are checked as all others.
        """
        if random.random() < _SOLVES:  # noqa: S311 - no secret
            found = self.ask("GET", f"{self.place}/queue/challenge", "challenge", token=guest.token)
            return solve(msgspec.convert(found.body, Challenge))
        easy = make_challenge(_KEYS, guest.buyer, self.occurrence, time.time(), difficulty=1)
        return solve(easy)

    def join(self, guest: Guest) -> Json:
        """Stand in line; return the place. Ends what the user is doing when the line is closed."""
        body = {"challenge": self.proof(guest)}
        path = f"{self.place}/queue"
        answer = self.ask(
            "POST", path, "join", token=guest.token, body=body, refusals={"queue_closed"}
        )
        if answer.refused:
            time.sleep(1.0)
            raise RescheduleTask
        found: Json = answer.body
        return found

    def look(self, guest: Guest) -> Json:
        """Return the place in line."""
        found: Json = self.ask("GET", f"{self.place}/queue", "place", token=guest.token).body
        return found

    def ticket(self, guest: Guest) -> str:
        """Return a ticket for one live connection."""
        path = f"{self.place}/queue/ticket"
        return str(self.ask("POST", path, "ticket", token=guest.token, body={}).body["ticket"])

    @contextmanager
    def line(self, guest: Guest) -> Iterator[websocket.WebSocket]:
        """Give a live connection to the line. Raises ``WebSocketException``, ``OSError``."""
        socket = self.open_line(self.ticket(guest))
        try:
            yield socket
        finally:
            drop(socket)

    def open_line(self, ticket: str) -> websocket.WebSocket:
        """Open a live connection; its handshake is counted like a request.

        Raises ``WebSocketException``, ``OSError``.
        """
        url = f"{SETTINGS.public_url}{self.place}/queue/live?ticket={ticket}"
        began, failure = time.perf_counter(), None
        try:
            return websocket.create_connection(
                url.replace("http", "ws", 1), timeout=_SOCKET_S, suppress_origin=True
            )
        except (websocket.WebSocketException, OSError) as error:
            failure = error
            raise
        finally:
            if not isinstance(failure, websocket.WebSocketBadStatusException):
                self.note("line", time.perf_counter() - began, failure)

    def hear(self, socket: websocket.WebSocket) -> Json:
        """Return the next message. Raises ``WebSocketException``, ``OSError``."""
        found: Json = orjson.loads(socket.recv())
        return found

    def note(self, name: str, seconds: float, failure: Exception | None = None) -> None:
        """Count something beside the requests; with ``failure``, as a failed one."""
        self.environment.events.request.fire(
            request_type="LINE",
            name=name,
            response_time=seconds * 1000,
            response_length=0,
            exception=failure,
            context={},
        )

    def broken(self, promise: str) -> None:
        """Count a promise of the shop that was broken: the run fails."""
        self.note("BROKEN", 0.0, AssertionError(promise))


def drop(socket: websocket.WebSocket) -> None:
    """End a live connection without a word, as a device does that is out of the network."""
    socket.shutdown()  # type: ignore[no-untyped-call] # the library's
