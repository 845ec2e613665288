"""The whole way over HTTP: token, hold, checkout, paid, ticket."""

from __future__ import annotations

import aiohttp
import msgspec
import pytest
import stripe as stripe_library

from devkit.stripe import render
from devkit.stripe.lookalike import StripeLookalike
from tests.http.running import Edge, Own, eventually, key


async def pay(stripe: StripeLookalike, intent: str) -> None:
    """Pay as a buyer's client does, with the provider alone."""
    async with aiohttp.ClientSession() as session:
        response = await session.post(
            f"{stripe.url}/v1/payment_intents/{intent}/confirm",
            data={"payment_method": "pm_card_visa", "return_url": "http://127.0.0.1/done"},
            headers={"Authorization": f"Bearer {stripe.secret_key}"},
        )
        assert response.status == 200, await response.text()


async def test_a_guest_holds_checks_out_pays_and_has_tickets(
    edge: Edge, stripe: StripeLookalike
) -> None:
    buyer = await edge.guest()
    hold = await edge.hold(
        buyer,
        {"ticket_type": "stalls", "seats": ["Stalls-1-4", "Stalls-1-5"]},
        {"ticket_type": "standing", "quantity": 1},
    )
    assert hold.status == 201, hold
    assert hold.json["subtotal"] == 2 * 5000 + 1500
    path = f"{edge.occurrence}/holds/{hold.json['id']}"
    assert (await edge.call("GET", path, headers=buyer)).json["id"] == hold.json["id"]

    checkout = await edge.call(
        "POST",
        f"{path}/checkout",
        json={"email": "ada@example.org", "name": "Ada"},
        headers={**buyer, **key()},
    )
    assert checkout.status == 201, checkout
    order, payment = checkout.json["order"], checkout.json["payment"]
    assert payment["amount"] == order["total"] == 11500 + 3 * 50 + 2185
    await pay(stripe, payment["intent"])

    order_path = f"{edge.occurrence}/orders/{order['id']}"
    settled = await edge.call("POST", f"{order_path}/settle", headers={**buyer, **key()})
    assert settled.status == 200, settled
    assert settled.json["state"] == "confirmed"
    assert [ticket["seat"]["guid"] for ticket in settled.json["tickets"] if ticket["seat"]] == [
        "Stalls-1-4",
        "Stalls-1-5",
    ]
    read = await edge.call("GET", order_path, headers=buyer)
    assert read.json["tickets"] == settled.json["tickets"]


async def test_a_pending_order_is_cancelled_and_its_seats_are_free_again(edge: Edge) -> None:
    buyer = await edge.guest()
    hold = await edge.hold(buyer, {"ticket_type": "circle", "quantity": 2})
    checkout = await edge.call(
        "POST",
        f"{edge.occurrence}/holds/{hold.json['id']}/checkout",
        json={"email": "ada@example.org", "name": "Ada"},
        headers={**buyer, **key()},
    )
    assert checkout.status == 201, checkout
    order_path = f"{edge.occurrence}/orders/{checkout.json['order']['id']}"
    cancelled = await edge.call("POST", f"{order_path}/cancel", headers={**buyer, **key()})
    assert cancelled.json["state"] == "cancelled", cancelled
    again = await edge.hold(buyer, {"ticket_type": "circle", "quantity": 2})
    assert again.status == 201, again


async def test_a_hold_is_changed_extended_and_released(edge: Edge) -> None:
    buyer = await edge.guest()
    hold = await edge.hold(buyer, {"ticket_type": "standing", "quantity": 1})
    path = f"{edge.occurrence}/holds/{hold.json['id']}"
    changed = await edge.call(
        "PATCH",
        path,
        json={
            "add": [{"ticket_type": "stalls", "seats": ["Stalls-2-1"]}],
            "remove": [{"ticket_type": "standing", "quantity": 1}],
        },
        headers=buyer,
    )
    assert changed.status == 200, changed
    assert [line["ticket_type"] for line in changed.json["lines"]] == ["stalls"]
    extended = await edge.call("POST", f"{path}/extend", headers={**buyer, **key()})
    assert extended.status == 200, extended
    assert extended.json["expires_at"] >= changed.json["expires_at"]
    released = await edge.call("DELETE", path, headers=buyer)
    assert (released.status, released.raw) == (204, b"")
    assert (await edge.call("GET", path, headers=buyer)).code == "hold_ended"


async def test_nobody_reads_or_changes_another_buyers_hold_or_order(edge: Edge) -> None:
    owner, other = await edge.guest(), await edge.guest()
    hold = await edge.hold(owner, {"ticket_type": "standing", "quantity": 1})
    path = f"{edge.occurrence}/holds/{hold.json['id']}"
    for method, target, body in (
        ("GET", path, None),
        ("PATCH", path, {"add": [{"ticket_type": "standing", "quantity": 1}]}),
        ("DELETE", path, None),
        ("POST", f"{path}/extend", None),
        ("POST", f"{path}/checkout", {"email": "a@example.org", "name": "A"}),
    ):
        answer = await edge.call(method, target, json=body, headers={**other, **key()})
        assert (answer.status, answer.code) == (404, "hold_unknown"), (method, target)
    checkout = await edge.call(
        "POST",
        f"{path}/checkout",
        json={"email": "ada@example.org", "name": "Ada"},
        headers={**owner, **key()},
    )
    order_path = f"{edge.occurrence}/orders/{checkout.json['order']['id']}"
    for method, target in (
        ("GET", order_path),
        ("POST", f"{order_path}/cancel"),
        ("POST", f"{order_path}/settle"),
    ):
        answer = await edge.call(method, target, headers={**other, **key()})
        assert (answer.status, answer.code) == (404, "order_unknown"), target
    assert (await edge.call("GET", order_path, headers=owner)).json["state"] == "pending"


async def test_a_key_belongs_to_one_step_and_one_body(edge: Edge) -> None:
    buyer, one = await edge.guest(), key()
    lines = {"lines": [{"ticket_type": "standing", "quantity": 1}]}
    holds = f"{edge.occurrence}/holds"
    first = await edge.call("POST", holds, json=lines, headers={**buyer, **one})
    again = await edge.call("POST", holds, json=lines, headers={**buyer, **one})
    assert (first.status, again.status) == (201, 201)
    assert again.json["id"] == first.json["id"]
    lines["lines"][0]["quantity"] = 2
    other = await edge.call("POST", holds, json=lines, headers={**buyer, **one})
    assert (other.status, other.code) == (422, "idempotency_mismatch")
    path = f"{holds}/{first.json['id']}/extend"
    step = await edge.call("POST", path, headers={**buyer, **one})
    assert (step.status, step.code) == (422, "idempotency_mismatch")


async def test_a_webhook_confirms_the_order(edge: Edge, stripe: StripeLookalike) -> None:
    buyer = await edge.guest()
    hold = await edge.hold(buyer, {"ticket_type": "standing", "quantity": 1})
    checkout = await edge.call(
        "POST",
        f"{edge.occurrence}/holds/{hold.json['id']}/checkout",
        json={"email": "ada@example.org", "name": "Ada"},
        headers={**buyer, **key()},
    )
    stripe.deliver_to(f"{edge.url}/v1/webhooks/stripe")
    await pay(stripe, checkout.json["payment"]["intent"])
    order_path = f"{edge.occurrence}/orders/{checkout.json['order']['id']}"

    async def confirmed() -> bool:
        order = await edge.call("GET", order_path, headers=buyer)
        return bool(order.json["state"] == "confirmed")

    await eventually(confirmed)


async def test_a_refund_at_the_provider_ends_the_order_and_frees_its_seats(
    edge: Edge, stripe: StripeLookalike
) -> None:
    buyer = await edge.guest()
    lines = {"ticket_type": "stalls", "seats": ["Stalls-1-4"]}
    hold = await edge.hold(buyer, lines)
    checkout = await edge.call(
        "POST",
        f"{edge.occurrence}/holds/{hold.json['id']}/checkout",
        json={"email": "ada@example.org", "name": "Ada"},
        headers={**buyer, **key()},
    )
    intent = checkout.json["payment"]["intent"]
    stripe.deliver_to(f"{edge.url}/v1/webhooks/stripe")
    await pay(stripe, intent)
    order_path = f"{edge.occurrence}/orders/{checkout.json['order']['id']}"

    async def reached(state: str, refunded: int, dispute: str = "") -> bool:
        order = (await edge.call("GET", order_path, headers=buyer)).json
        return bool(
            (order["state"], order["refunded"], order["dispute"]) == (state, refunded, dispute)
        )

    await eventually(lambda: reached("confirmed", 0))
    stripe.money.refund(intent, 100)
    await eventually(lambda: reached("confirmed", 100))
    stripe.money.dispute(intent)
    await eventually(lambda: reached("confirmed", 100, "open"))
    stripe.money.end_dispute(intent, "won")
    await eventually(lambda: reached("confirmed", 100, "won"))
    stripe.money.refund(intent)
    await eventually(lambda: reached("refunded", checkout.json["order"]["total"], "won"))
    assert (await edge.hold(await edge.guest(), lines)).status == 201


async def test_a_webhook_is_accepted_only_when_the_store_has_it(
    own: Own, stripe: StripeLookalike
) -> None:
    edge = own.edge
    buyer = await edge.guest()
    hold = await edge.hold(buyer, {"ticket_type": "standing", "quantity": 1})
    checkout = await edge.call(
        "POST",
        f"{edge.occurrence}/holds/{hold.json['id']}/checkout",
        json={"email": "ada@example.org", "name": "Ada"},
        headers={**buyer, **key()},
    )
    await pay(stripe, checkout.json["payment"]["intent"])
    event = next(e for e in stripe.state.events if e.kind == "payment_intent.succeeded")
    body = msgspec.json.encode(render.event(event))
    header = stripe_library.WebhookSignature.generate_signature_header(
        body.decode(), stripe.webhook_secret
    )
    headers = {"Stripe-Signature": header, "Content-Type": "application/json"}
    await own.away()
    refused = await edge.call("POST", "/v1/webhooks/stripe", body=body, headers=headers)
    assert (refused.status, refused.code) == (503, "store_unavailable")
    await own.back()
    accepted = await edge.call("POST", "/v1/webhooks/stripe", body=body, headers=headers)
    assert (accepted.status, accepted.raw) == (200, b"")
    order_path = f"{edge.occurrence}/orders/{checkout.json['order']['id']}"
    assert (await edge.call("GET", order_path, headers=buyer)).json["state"] == "confirmed"
    again = await edge.call("POST", "/v1/webhooks/stripe", body=body, headers=headers)
    assert again.status == 200


@pytest.mark.parametrize("signature", [None, "", "t=1,v1=00", "garbage"])
async def test_a_forged_webhook_is_refused(edge: Edge, signature: str | None) -> None:
    headers = {} if signature is None else {"Stripe-Signature": signature}
    answer = await edge.call("POST", "/v1/webhooks/stripe", body=b"{}", headers=headers)
    assert (answer.status, answer.code) == (400, "webhook_rejected")
