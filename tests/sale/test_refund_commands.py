"""``onsale refund`` and ``onsale refunds``, as a person calls them."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from devkit.stripe.faults import Fault
from engine.core.ids import new_id
from tests.sale.conftest import Box, intent_of
from tests.sale.money_proof import SEATS

PROJECT = Path(__file__).parents[2]


async def onsale(box: Box, *arguments: str) -> tuple[int, str, str]:
    """Run a command. Returns its exit code and what it printed to stdout and stderr."""
    pool = box.client.connection_pool.connection_kwargs
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "engine.app.cli", *arguments,
        cwd=PROJECT,
        env={
            **{name: value for name, value in os.environ.items() if "ONSALE" not in name},
            "REDIS_URL": f"redis://{pool['host']}:{pool['port']}/0",
            "STRIPE_API_BASE": box.stripe.url,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, out.decode(), err.decode()


async def test_a_refund_says_what_became_of_the_money(box: Box) -> None:
    checkout = await box.confirmed(new_id(), SEATS)
    order, total = checkout.order.id, checkout.order.total
    box.stripe.money.refund(intent_of(checkout), 500)
    await box.until_settled()
    code, out, err = await onsale(box, "refund", box.occurrence, order)
    assert (code, err) == (0, "")
    assert f"{total} are back" in out
    assert await onsale(box, "refunds") == (0, "", "")


async def test_a_refund_with_the_provider_away_is_said_to_be_owed(box: Box) -> None:
    checkout = await box.confirmed(new_id(), SEATS)
    box.stripe.fail(Fault(mode="unavailable", count=1_000, path="refunds", method="POST"))
    code, out, _ = await onsale(box, "refund", box.occurrence, checkout.order.id)
    assert code == 0
    assert f"{checkout.order.total} are owed" in out


async def test_a_disputed_order_is_refused_in_a_sentence(box: Box) -> None:
    checkout = await box.confirmed(new_id(), SEATS)
    box.stripe.money.dispute(intent_of(checkout))
    await box.until_settled()
    code, _, err = await onsale(box, "refund", box.occurrence, checkout.order.id)
    assert code != 0
    assert "bank" in err
    assert "Traceback" not in err
    code, out, _ = await onsale(box, "refunds", box.occurrence)
    assert code == 0
    assert "dispute open" in out


async def test_what_needs_a_person_is_listed_and_seen_to(box: Box) -> None:
    checkout = await box.confirmed(new_id(), SEATS)
    order = checkout.order.id
    box.stripe.deliver_to(None)
    box.stripe.money.next_refunds("failed", 100)
    await box.sale.orders.give_back(box.occurrence, order, "asked")
    for _ in range(5):
        await box.money_round()
    code, out, _ = await onsale(box, "refunds")
    assert code == 1
    assert order in out
    assert "5 refunds that came to nothing" in out
    code, _, err = await onsale(
        box, "refund", box.occurrence, order, "--again", "--elsewhere", "transfer"
    )
    assert (code, "not both" in err) == (2, True)
    code, out, _ = await onsale(
        box, "refund", box.occurrence, order, "--elsewhere", "transfer 4711"
    )
    assert (code, "are back" in out) == (0, True)
    assert await onsale(box, "refunds") == (0, "", "")
    code, _, err = await onsale(box, "refund", box.occurrence, order, "--again")
    assert (code != 0, "Nothing is owed" in err) == (True, True)
