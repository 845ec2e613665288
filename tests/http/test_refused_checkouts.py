"""What a checkout is refused for, over HTTP: before anything is tied to it, and by the provider."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from devkit.stripe.faults import Fault
from devkit.stripe.lookalike import StripeLookalike
from engine.core.settings import Settings
from engine.core.tokens import TOKEN_LENGTH_MAX
from engine.sale.inventory.publication import publish
from engine.sale.inventory.snapshot import Quota, TicketType, Tier
from tests.http.running import SHARD, Answer, Edge, key, make_snapshot, running_edge

STANDING = {"ticket_type": "standing", "quantity": 2}


async def check_out(edge: Edge, buyer: dict[str, str], hold: str, **changes: Any) -> Answer:
    body = {"email": "ada@example.org", "name": "Ada", **changes}
    path = f"{edge.occurrence}/holds/{hold}/checkout"
    return await edge.call("POST", path, json=body, headers={**buyer, **key()})


async def held(edge: Edge) -> tuple[dict[str, str], dict[str, Any]]:
    buyer = await edge.guest()
    hold = await edge.hold(buyer, STANDING)
    assert hold.status == 201, hold
    return buyer, hold.json


BAD_EMAILS = [
    *("", "a@", "ada", "a..b@example.org", ".a@example.org", "ada@example", "ada@-example.org"),
    *("ädä@example.org", "ada@example.org\n", "ada\0@example.org", '"a b"@example.org'),
    *("ada@[127.0.0.1]", "a@b@example.org", f"{'a' * 65}@example.org", f"a@{'b' * 250}.org"),
    *(f"a@{'ü' * 60}.example.org", f"{'ü' * 127}@example.org", "a" * 255),
]


@pytest.mark.parametrize("email", BAD_EMAILS)
async def test_an_address_that_no_mail_server_takes_is_refused_with_its_path(
    edge: Edge, stripe: StripeLookalike, email: str
) -> None:
    buyer, hold = await held(edge)
    for answer in (
        await check_out(edge, buyer, hold["id"], email=email),
        await edge.call("POST", "/v1/guests", json={"email": email}, headers=key()),
    ):
        assert (answer.status, answer.code) == (400, "invalid_request"), answer
        assert answer.json["path"] == "$.email"
    after = await edge.call("GET", f"{edge.occurrence}/holds/{hold['id']}", headers=buyer)
    assert (after.status, after.json["version"]) == (200, hold["version"])
    assert stripe.calls.total() == 0


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"name": ""}, "$.name"),
        ({"name": "a\0b"}, "$.name"),
        ({"name": "a\nb"}, "$.name"),
        ({"name": "Ada\n"}, "$.name"),
        ({"name": "a\u0085b"}, "$.name"),
        ({"name": "a\u2028b"}, "$.name"),
        ({"name": "a" * 201}, "$.name"),
        ({"attendees": ["a\0"]}, "$.attendees[0]"),
        ({"attendees": ["Ada", "a\u009f"]}, "$.attendees[1]"),
        ({"attendees": ["Ada"] * 3}, "$.attendees"),
        ({"attendees": ["Ada"] * 101}, "$.attendees"),
    ],
    ids=str,
)
async def test_names_that_cannot_be_kept_are_refused_with_their_path(
    edge: Edge, changes: dict[str, Any], path: str
) -> None:
    buyer, hold = await held(edge)
    answer = await check_out(edge, buyer, hold["id"], **changes)
    assert (answer.status, answer.code, answer.json["path"]) == (400, "invalid_request", path)


@pytest.mark.parametrize(
    ("email", "kept"),
    [
        ("ada@example.org", "ada@example.org"),
        ("ada@bücher.example.org", "ada@xn--bcher-kva.example.org"),
        (f"{'a' * 62}@{'.'.join(['d' * 63] * 3)}", None),
    ],
)
async def test_a_good_address_goes_all_the_way(edge: Edge, email: str, kept: str | None) -> None:
    guest = await edge.call("POST", "/v1/guests", json={"email": email}, headers=key())
    assert guest.status == 201, guest
    token = guest.json["token"]
    assert len(token) <= TOKEN_LENGTH_MAX
    buyer = {"Authorization": f"Bearer {token}"}
    hold = await edge.hold(buyer, STANDING)
    name = "\U0001f3ad" * 200  # 800 bytes
    answer = await check_out(edge, buyer, hold.json["id"], email=email, name=name)
    assert answer.status == 201, answer
    assert answer.json["order"]["email"] == (kept or email)
    assert answer.json["payment"]["client_secret"]


async def test_a_refused_payment_is_told_clearly_and_each_time_alike(
    edge: Edge, stripe: StripeLookalike
) -> None:
    buyer, hold = await held(edge)
    stripe.fail(
        msgspec.convert(
            {"mode": "refuse", "code": "email_invalid", "method": "POST", "count": 9}, Fault
        )
    )
    answers = [await check_out(edge, buyer, hold["id"]) for _ in range(3)]
    for answer in answers:
        assert (answer.status, answer.code) == (402, "payment_refused"), answer
        assert answer.json["provider_code"] == "email_invalid"
        assert answer.json["order"] == answers[0].json["order"]
    order = await edge.call(
        "GET", f"{edge.occurrence}/orders/{answers[0].json['order']}", headers=buyer
    )
    assert (order.json["state"], order.json["cancel_reason"]) == ("cancelled", "payment_refused")
    stripe.faults.clear()
    again = await edge.hold(buyer, STANDING)
    assert again.status == 201, again
    assert (await check_out(edge, buyer, again.json["id"])).status == 201


async def test_settle_says_when_to_ask_again_while_there_is_something_to_wait_for(
    edge: Edge, stripe: StripeLookalike
) -> None:
    buyer, hold = await held(edge)
    order = (await check_out(edge, buyer, hold["id"])).json["order"]["id"]
    path = f"{edge.occurrence}/orders/{order}"
    before = stripe.calls.total()
    for _ in range(30):
        answer = await edge.call("POST", f"{path}/settle", headers={**buyer, **key()})
        assert (answer.status, answer.json["state"]) == (200, "pending")
        assert answer.headers["Retry-After"] == "1"
    assert stripe.calls.total() - before < 15
    await edge.call("POST", f"{path}/cancel", headers={**buyer, **key()})
    answer = await edge.call("POST", f"{path}/settle", headers={**buyer, **key()})
    assert answer.json["state"] in {"cancelled", "cancelling"}
    assert ("Retry-After" in answer.headers) == (answer.json["state"] == "cancelling")


@pytest.fixture
async def dear(edge_settings: Settings, redis_client: Redis) -> AsyncIterator[Edge]:
    """An edge that sells what only some quantities of can be charged."""
    kinds = tuple(
        TicketType(
            code=code,
            name=code,
            kind="general",
            quotas=(0,),
            tiers=(Tier(code="only", name="Only", price=price),),
        )
        for code, price in (("box", 60_000_000), ("cheap", 20))
    )
    snapshot = make_snapshot(
        currency="EUR",
        tax_rate_bp=0,
        fees=make_snapshot().fees.__class__(),
        categories=(),
        sections=(),
        quotas=(Quota(code="floor", name="Floor", capacity=20),),
        ticket_types=kinds,
    )
    await publish(redis_client, snapshot, shard=SHARD)
    async with running_edge(edge_settings, redis_client, snapshot) as running:
        yield running


@pytest.mark.parametrize(
    ("code", "quantity", "reason"), [("box", 2, "too_large"), ("cheap", 2, "too_small")]
)
async def test_a_total_that_cannot_be_charged_leaves_the_hold_to_be_changed(
    dear: Edge, stripe: StripeLookalike, code: str, quantity: int, reason: str
) -> None:
    buyer = await dear.guest()
    hold = (await dear.hold(buyer, {"ticket_type": code, "quantity": quantity})).json
    answer = await check_out(dear, buyer, hold["id"])
    assert (answer.status, answer.code) == (409, "total_not_chargeable"), answer
    wanted = {"reason": reason, "minimum": 50, "maximum": 99_999_999, "step": 1, "currency": "EUR"}
    assert wanted.items() <= answer.json.items()
    path = f"{dear.occurrence}/holds/{hold['id']}"
    change = {"remove": [{"ticket_type": code, "quantity": 1}]}
    if reason == "too_small":
        change = {"add": [{"ticket_type": code, "quantity": 1}]}
    changed = await dear.call("PATCH", path, json=change, headers={**buyer, **key()})
    assert changed.status == 200, changed
    assert (await check_out(dear, buyer, hold["id"])).status == 201
    assert stripe.calls.total() == 1
