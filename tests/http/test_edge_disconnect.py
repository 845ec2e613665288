"""A client that goes away in the middle leaves nothing half done (see engine/app/serving.py)."""

from __future__ import annotations

import asyncio
from typing import cast

import orjson

from devkit.stripe.faults import Fault
from devkit.stripe.lookalike import StripeLookalike
from tests.http.running import Edge, eventually, key


def request_bytes(edge: Edge, path: str, body: object, headers: dict[str, str]) -> bytes:
    data = orjson.dumps(body)
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{edge.port}\r\n{head}"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    ).encode() + data


async def send_and_go(edge: Edge, request: bytes) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(request)
    await writer.drain()
    writer.transport.abort()


async def test_a_hold_whose_client_went_is_there_when_it_comes_back(edge: Edge) -> None:
    buyer, one = await edge.guest(), key()
    path = f"{edge.occurrence}/holds"
    lines = {"lines": [{"ticket_type": "stalls", "seats": ["Stalls-1-1"]}]}
    await send_and_go(edge, request_bytes(edge, path, lines, {**buyer, **one}))

    async def held() -> bool:
        states = (await edge.call("GET", f"{edge.occurrence}/availability")).json
        return bool(states["sections"][0][0] == "h")

    await eventually(held)
    again = await edge.call("POST", path, json=lines, headers={**buyer, **one})
    assert again.status == 201
    assert again.json["lines"][0]["seats"][0]["guid"] == "Stalls-1-1"
    assert (await edge.call("GET", f"{edge.occurrence}/availability")).json["counts"]["stalls"][
        "free"
    ] == 23


async def test_a_checkout_whose_client_went_is_finished(
    edge: Edge, stripe: StripeLookalike
) -> None:
    buyer, one = await edge.guest(), key()
    hold = await edge.hold(buyer, {"ticket_type": "standing", "quantity": 1})
    path = f"{edge.occurrence}/holds/{hold.json['id']}/checkout"
    person = {"email": "ada@example.org", "name": "Ada"}
    stripe.fail(Fault(mode="hang", path="/v1/payment_intents"))
    _, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(request_bytes(edge, path, person, {**buyer, **one}))

    async def provider_is_asked() -> bool:
        return not list(stripe.faults)

    await eventually(provider_is_asked)
    writer.transport.abort()

    async def client_is_gone() -> bool:
        return writer.transport.is_closing()

    await eventually(client_is_gone)
    await edge.call("GET", "/health/live")  # the server has read of the closed connection
    stripe.faults.clear()

    async def intent_is_made() -> bool:
        return len(stripe.state.intents) == 1

    await eventually(intent_is_made)

    async def intent_is_noted() -> bool:
        names = [name async for name in edge.redis.scan_iter(match="*:o:*")]
        (order,) = [await edge.redis.get(name) for name in names]
        return b"pi_" in cast("bytes", order)

    # Nobody asks again: only the first request, which goes on, can have noted it.
    await eventually(intent_is_noted)
    again = await edge.call("POST", path, json=person, headers={**buyer, **one})
    assert again.status == 201
    assert len(stripe.state.intents) == 1


async def test_at_the_end_a_request_that_is_under_way_is_answered(
    edge: Edge, stripe: StripeLookalike
) -> None:
    buyer = await edge.guest()
    hold = await edge.hold(buyer, {"ticket_type": "standing", "quantity": 1})
    path = f"{edge.occurrence}/holds/{hold.json['id']}/checkout"
    person = {"email": "ada@example.org", "name": "Ada"}
    stripe.fail(Fault(mode="hang", path="/v1/payment_intents"))
    asking = asyncio.create_task(edge.call("POST", path, json=person, headers={**buyer, **key()}))

    async def provider_is_asked() -> bool:
        return not list(stripe.faults)

    await eventually(provider_is_asked)
    stopping = asyncio.create_task(edge.runner.cleanup())

    async def nothing_new_is_accepted() -> bool:
        return not edge.runner.sites

    await eventually(nothing_new_is_accepted)
    stripe.faults.clear()
    answer = await asking
    await stopping
    assert answer.status == 201
    assert answer.json["payment"]["client_secret"]
