"""The shop as a buyer's client sees it: the HTTP API, with patience where the API asks for it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import aiohttp
import orjson

from devkit.demo.figures import Stopwatch
from engine.core.ids import new_id

Json = dict[str, Any]

_TRIES_MAX = 20  # of one request: with the pauses below that is more than a minute
_RETRY_FIRST_S = 0.1  # when there was no answer at all
_RETRY_LAST_S = 5.0
_TIMEOUT_S = 20.0
_AGAIN = frozenset({429, 503})


class Guest(NamedTuple):
    """Somebody new: ``buyer`` is the id."""

    token: str
    buyer: str


class RefusedError(Exception):
    """The shop said no. ``code`` is the problem document's; ``problem`` is all of it."""

    def __init__(self, status: int, problem: Json) -> None:
        super().__init__(f"{status} {problem.get('code')}: {problem.get('detail')}")
        self.status = status
        self.code: str = problem.get("code", "")
        self.problem = problem

    @property
    def lines(self) -> list[Json]:
        """The lines that cannot be had, each with its reason."""
        return cast("list[Json]", self.problem.get("lines", []))


class UnavailableError(Exception):
    """The shop did not answer, however often it was asked."""


class Shop:
    """One occurrence at the shop, for any number of buyers.

    ``connections_max`` bounds how many requests are under way; the stopwatch
    runs from the sending of a request to its answer.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        occurrence: str,
        stopwatch: Stopwatch,
        *,
        connections_max: int = 64,
    ) -> None:
        self._session = session
        self._url = url
        self._place = f"/v1/occurrences/{occurrence}"
        self._queue = f"{self._place}/queue"
        self._stopwatch = stopwatch
        self._room = asyncio.Semaphore(connections_max)

    @property
    def live_url(self) -> str:
        """Where the seat map's changes are told."""
        return f"{self._url}{self._place}/live"

    async def occurrence(self) -> Json:
        """Return the ticket types with what is free of each."""
        return await self._call("GET", self._place)

    async def seat_map(self) -> Json:
        """Return the seats."""
        return await self._call("GET", f"{self._place}/seat-map")

    async def guest(self) -> Guest:
        """Return a new guest."""
        answer = await self._call("POST", "/v1/guests", body={}, step="guest")
        return Guest(answer["token"], answer["buyer"])

    async def serving(self) -> Json:
        """Return how the line stands."""
        return await self._call("GET", f"{self._queue}/serving")

    async def draw(self) -> Json:
        """Return what the draw was promised with."""
        return await self._call("GET", f"{self._queue}/draw")

    async def challenge(self, token: str) -> Json:
        """Return a challenge of the door."""
        return await self._call("GET", f"{self._queue}/challenge", token=token)

    async def join(self, token: str, proof: str) -> Json:
        """Stand in line; return the place. Raises :class:`RefusedError`."""
        return await self._call(
            "POST", self._queue, token=token, body={"challenge": proof}, step="join"
        )

    async def place(self, token: str) -> Json:
        """Return the place in line. Raises :class:`RefusedError`."""
        return await self._call("GET", self._queue, token=token, step="ask")

    async def enter(self, token: str) -> Json:
        """Go in when called; return the place. Raises :class:`RefusedError`."""
        return await self._call("POST", f"{self._queue}/enter", token=token, body={}, step="enter")

    async def leave(self, token: str) -> None:
        """Give the place up."""
        await self._call("DELETE", self._queue, token=token)

    async def line_url(self, token: str) -> str:
        """Return where one connection of this buyer is told how the line moves."""
        answer = await self._call("POST", f"{self._queue}/ticket", token=token, body={})
        return f"{self._url}{self._queue}/live?ticket={answer['ticket']}"

    async def hold(self, token: str, line: Json) -> Json:
        """Hold tickets of one line. Raises :class:`RefusedError`."""
        return await self._call(
            "POST", f"{self._place}/holds", token=token, body={"lines": [line]}, step="hold"
        )

    async def release(self, token: str, hold: str) -> None:
        """Give a hold back."""
        await self._call("DELETE", f"{self._place}/holds/{hold}", token=token)

    async def check_out(self, token: str, hold: str, name: str) -> Json:
        """Make the order: ``{order, payment}``. Raises :class:`RefusedError`."""
        return await self._call(
            "POST",
            f"{self._place}/holds/{hold}/checkout",
            token=token,
            body={"email": f"{name}@example.org", "name": name},
            step="checkout",
        )

    async def order(self, token: str, order: str) -> Json:
        """Return an order."""
        return await self._call("GET", f"{self._place}/orders/{order}", token=token)

    async def cancel(self, token: str, order: str) -> Json:
        """Cancel an order. Raises :class:`RefusedError` when it is too late."""
        return await self._call(
            "POST", f"{self._place}/orders/{order}/cancel", token=token, body={}
        )

    async def settle(self, token: str, order: str) -> Json:
        """Ask the shop to look at the payment now."""
        return await self._call(
            "POST", f"{self._place}/orders/{order}/settle", token=token, body={}
        )

    async def _call(
        self,
        method: str,
        path: str,
        *,
        token: str = "",
        body: Json | None = None,
        step: str = "",
    ) -> Json:
        """Send a request, again with the same key while there is no answer or it asks for that.

        Raises :class:`RefusedError`, :class:`UnavailableError`.
        """
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if method == "POST":
            headers["Idempotency-Key"] = f"demo-{new_id()}"
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = None if body is None else orjson.dumps(body)
        pause_s = _RETRY_FIRST_S
        for _ in range(_TRIES_MAX):
            try:
                status, answer, wait_s = await self._try(method, path, headers, data, step)
            except (aiohttp.ClientError, OSError, TimeoutError):
                wait_s, pause_s = pause_s, min(2 * pause_s, _RETRY_LAST_S)
            else:
                if status not in _AGAIN:
                    if status >= 400:  # noqa: PLR2004 - the first class of errors in HTTP
                        raise RefusedError(status, answer)
                    return answer
            # spread out: all who were sent away together would come back together
            await asyncio.sleep(wait_s * random.uniform(1.0, 1.5))  # noqa: S311 - no secret
        raise UnavailableError(f"{method} {path} was tried {_TRIES_MAX} times")

    async def _try(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        data: bytes | None,
        step: str,
    ) -> tuple[int, Json, float]:
        """Return status, body and the seconds to wait before another try."""
        async with self._room:
            with self._stopwatch.timing(step):
                async with self._session.request(
                    method,
                    self._url + path,
                    data=data,
                    headers=headers,
                    timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S),
                ) as response:
                    raw = await response.read()
            return (
                response.status,
                orjson.loads(raw) if raw else {},
                float(response.headers.get("Retry-After", "1")),
            )
