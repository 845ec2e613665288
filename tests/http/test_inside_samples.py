"""What the edge counts for the line, at a real edge that strangers and slow clients try to slow."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from statistics import fmean
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from engine.core.settings import Settings
from engine.payments.errors import PaymentRefusedError, PaymentUnavailableError
from engine.payments.provider import Intent
from engine.payments.state import PROVIDER
from engine.queue.admission.reporting import BUYERS_MIN
from engine.queue.admission.samples import SAMPLES
from tests.http.lines import LineEdge, running_line
from tests.http.running import Edge, eventually, key

LINE = {"ticket_type": "standing", "quantity": 1}
PERSON = {"email": "ada@example.org", "name": "Ada"}
MANY = 10


class Taken:
    """Every sample that an edge takes."""

    def __init__(self, edge: Edge) -> None:
        self.holds: list[tuple[str, Any]] = []
        self.checkouts: list[tuple[str, Any]] = []
        self.payments: list[tuple[str, Any]] = []
        for name in ("holds", "checkouts", "payments"):
            self._watch(getattr(edge.app[SAMPLES], name), getattr(self, name))

    @staticmethod
    def _watch(samples: Any, taken: list[tuple[str, Any]]) -> None:
        add = samples.add

        def watched(buyer: str, value: Any) -> None:
            taken.append((buyer, value))
            add(buyer, value)

        samples.add = watched


@pytest.fixture
def taken(edge: Edge) -> Taken:
    return Taken(edge)


def mean(taken: list[tuple[str, Any]]) -> float:
    return fmean(value for _, value in taken)


def request(edge: Edge, path: str, buyer: dict[str, str], body: Any) -> tuple[bytes, bytes]:
    """The head and the body of a POST."""
    payload = orjson.dumps(body)
    headers = {
        "Host": "onsale",
        "Content-Type": "application/json",
        "Content-Length": str(len(payload)),
        **buyer,
        **key(),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {edge.occurrence}/{path} HTTP/1.1\r\n{lines}\r\n".encode(), payload


class Slow:
    """Requests whose bodies come much later than their heads."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._sent: list[tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]] = []

    async def begin(self, path: str, buyer: dict[str, str], body: Any) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._edge.port)
        head, payload = request(self._edge, path, buyer, body)
        writer.write(head + payload[:1])
        self._sent.append((reader, writer, payload[1:]))

    async def end(self) -> list[bytes]:
        """Send what is missing, and return the answers' first lines."""
        for _, writer, rest in self._sent:
            writer.write(rest)
        answers = [await reader.readline() for reader, _, _ in self._sent]
        for _, writer, _ in self._sent:
            writer.close()
        return answers


async def meanwhile(edge: Edge, times: int = 500) -> float:
    """Let others be served for a while, and return how long that took in seconds."""
    began = time.perf_counter()
    for _ in range(times):
        assert (await edge.call("GET", "/health/live")).status == 200
    return time.perf_counter() - began


async def test_the_time_until_a_body_comes_is_not_the_engines(edge: Edge, taken: Taken) -> None:
    slow = Slow(edge)
    for _ in range(MANY):
        await slow.begin("holds", await edge.guest(), {"lines": [LINE]})
    waited_s = await meanwhile(edge)
    assert {line.split()[1] for line in await slow.end()} == {b"201"}
    assert len(taken.holds) == MANY
    assert mean(taken.holds) < waited_s / 2


async def test_the_same_of_checkouts(
    edge: Edge, taken: Taken, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def create_intent(*, order: str, occurrence: str, **_: Any) -> Intent:
        return Intent(
            id=f"pi_{order}",
            order=order,
            occurrence=occurrence,
            status="open",
            amount=1,
            currency="EUR",
        )

    monkeypatch.setattr(edge.app[PROVIDER], "create_intent", create_intent)
    slow = Slow(edge)
    for _ in range(MANY):
        buyer = await edge.guest()
        hold = (await edge.hold(buyer, LINE)).json["id"]
        await slow.begin(f"holds/{hold}/checkout", buyer, PERSON)
    waited_s = await meanwhile(edge)
    assert {line.split()[1] for line in await slow.end()} == {b"201"}
    assert len(taken.checkouts) == MANY
    assert mean(taken.checkouts) < waited_s / 2


async def test_who_does_not_read_the_answer_is_not_waited_for(edge: Edge, taken: Taken) -> None:
    connections = []
    for _ in range(MANY):
        _, writer = await asyncio.open_connection("127.0.0.1", edge.port, limit=1)
        head, payload = request(edge, "holds", await edge.guest(), {"lines": [LINE]})
        writer.write(head + payload)
        connections.append(writer)

    async def all_of_them() -> bool:
        return len(taken.holds) == MANY

    await eventually(all_of_them)
    for writer in connections:
        writer.close()


async def test_every_granted_hold_counts_by_whichever_way_it_came(edge: Edge, taken: Taken) -> None:
    for way in ("plain", "chunked"):
        for _ in range(MANY):
            buyer = await edge.guest()
            if way == "plain":
                answer = await edge.hold(buyer, LINE)
            else:
                answer = await edge.call(
                    "POST",
                    f"{edge.occurrence}/holds",
                    json={"lines": [LINE]},
                    headers={**buyer, **key(), "Expect": "100-continue"},
                )
            assert answer.status == 201, answer
        assert len(taken.holds) == MANY
        taken.holds.clear()


async def test_one_buyer_who_holds_again_and_again_is_one(edge: Edge, taken: Taken) -> None:
    buyer = await edge.guest()
    for _ in range(MANY):
        hold = await edge.hold(buyer, LINE)
        await edge.call("DELETE", f"{edge.occurrence}/holds/{hold.json['id']}", headers=buyer)
    assert len(taken.holds) == MANY
    assert len(edge.app[SAMPLES].holds.turn()) <= 1


async def test_what_is_refused_or_malformed_counts_nothing(edge: Edge, taken: Taken) -> None:
    buyer = await edge.guest()
    holds = f"{edge.occurrence}/holds"
    much = {"lines": [{"ticket_type": "standing", "quantity": 999}]}
    for json, headers in (
        ({"lines": [LINE]}, key()),  # nobody
        ({"lines": [LINE]}, {**key(), "Authorization": "Bearer x"}),
        ({"lines": [LINE]}, buyer),  # no key
        ({"lines": []}, {**buyer, **key()}),
        ({"lines": [{"ticket_type": "none", "quantity": 1}]}, {**buyer, **key()}),
        ({"lines": [LINE]}, {**buyer, **key(), "Content-Type": "text/plain"}),
        (much, {**buyer, **key()}),
        ([], {**buyer, **key()}),
    ):
        for _ in range(BUYERS_MIN):
            answer = await edge.call("POST", holds, json=json, headers=headers)
            assert answer.status >= 400, answer
    for path in (f"{holds}/{'0' * 32}/checkout", f"{edge.occurrence}/orders/{'0' * 32}/settle"):
        for _ in range(BUYERS_MIN):
            who = {**await edge.guest(), **key()}
            body = PERSON if path.endswith("checkout") else None
            assert (await edge.call("POST", path, json=body, headers=who)).status == 404
    assert (taken.holds, taken.checkouts, taken.payments) == ([], [], [])


async def test_who_has_no_pass_counts_nothing_and_who_has_one_does(
    edge_settings: Settings, redis_client: Redis
) -> None:
    settings = replace(edge_settings, door_difficulty=0)
    async with running_line(settings, redis_client) as line:
        taken = Taken(line.edge)
        strangers = [await line.edge.guest() for _ in range(MANY)]
        for stranger in strangers:
            answer = await line.edge.hold(stranger, LINE)
            assert (answer.status, answer.code) == (409, "not_inside")
        assert taken.holds == []
        buyer = await inside(line)
        assert (await line.edge.hold(buyer, LINE)).status == 201
        assert len(taken.holds) == 1


async def inside(line: LineEdge) -> dict[str, str]:
    """Somebody with a pass."""
    buyer, _ = await line.join()
    await line.open()
    await line.call(1)
    assert (await line.edge.call("POST", f"{line.url}/enter", headers=buyer)).status == 200
    return buyer


@pytest.mark.parametrize(
    ("error", "status", "answered"),
    [
        (None, 201, True),
        (PaymentRefusedError(provider_code="card_declined"), 402, True),
        (PaymentUnavailableError(), 503, False),
    ],
    ids=["well", "declined", "away"],
)
async def test_declined_cards_are_no_outage(
    edge: Edge,
    taken: Taken,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception | None,
    status: int,
    answered: bool,
) -> None:
    if error is not None:

        async def create_intent(**_: Any) -> Any:
            raise error

        monkeypatch.setattr(edge.app[PROVIDER], "create_intent", create_intent)
    for _ in range(4):
        buyer = await edge.guest()
        hold = (await edge.hold(buyer, LINE)).json["id"]
        url = f"{edge.occurrence}/holds/{hold}/checkout"
        answer = await edge.call("POST", url, json=PERSON, headers={**buyer, **key()})
        assert answer.status == status
    assert [value for _, value in taken.payments] == [answered] * 4
    assert len({buyer for buyer, _ in taken.payments}) == 4
    assert len(taken.checkouts) == (4 if status == 201 else 0)
