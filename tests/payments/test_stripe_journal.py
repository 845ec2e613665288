from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import aiohttp
import pytest
import stripe

from devkit.stripe import Behaviour, StripeLookalike
from devkit.stripe.journal import JournalError
from tests.payments.conftest import Receiver, intent_params, library

pytestmark = pytest.mark.usefixtures("journal_may_block")


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    journal = tmp_path / "stripe" / "journal.jsonl"
    first = StripeLookalike(data=journal)
    await first.start()
    async with library(first) as client:
        params = intent_params(payment_method="pm_card_visa", confirm=True)
        made = await client.v1.payment_intents.create_async(params, {"idempotency_key": "k"})
        refund = await client.v1.refunds.create_async({"payment_intent": made.id, "amount": 200})
        open_one = await client.v1.payment_intents.create_async(intent_params())
        events = (await client.v1.events.list_async()).data
    await first.stop()
    for _ in range(2):  # the second time from what the first start has rewritten
        again = StripeLookalike(data=journal)
        await again.start()
        async with library(again) as client:
            listed = await client.v1.payment_intents.list_async({"expand": ["data.latest_charge"]})
            assert [item.id for item in listed.data] == [open_one.id, made.id]
            charge = listed.data[1].latest_charge
            assert isinstance(charge, stripe.Charge)
            assert charge.amount_refunded == 200
            assert (await client.v1.refunds.retrieve_async(refund.id)).amount == 200
            assert [item.id for item in (await client.v1.events.list_async()).data] == [
                event.id for event in events
            ]
            replayed = await client.v1.payment_intents.create_async(
                params, {"idempotency_key": "k"}
            )
            assert replayed.id == made.id
            assert len(again.state.intents) == 2
        await again.stop()


async def test_a_torn_last_line_is_dropped_and_the_journal_goes_on(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    first = StripeLookalike(data=journal)
    await first.start()
    async with library(first) as client:
        whole = await client.v1.payment_intents.create_async(intent_params())
        await client.v1.payment_intents.create_async(intent_params())
    await first.stop()
    journal.write_bytes(journal.read_bytes()[:-20])
    second = StripeLookalike(data=journal)
    await second.start()
    assert [item.id for item in second.state.intents] == [whole.id]
    async with library(second) as client:
        later = await client.v1.payment_intents.create_async(intent_params())
    await second.stop()
    third = StripeLookalike(data=journal)
    await third.start()
    assert [item.id for item in third.state.intents] == [whole.id, later.id]
    await third.stop()


async def test_a_damaged_journal_is_named_and_left_alone(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    journal.write_text('{"changed": [}\n{}\n')
    lookalike = StripeLookalike(data=journal)
    with pytest.raises(JournalError, match=r"journal\.jsonl, line 1"):
        await lookalike.start()
    assert journal.read_text() == '{"changed": [}\n{}\n'


async def test_events_that_were_not_accepted_are_delivered_after_a_restart(
    tmp_path: Path, receiver: Receiver
) -> None:
    journal = tmp_path / "journal.jsonl"
    first = StripeLookalike(data=journal, webhook_url=receiver.url)
    await first.start()
    async with library(first) as client:
        await client.v1.payment_intents.create_async(intent_params())
        await first.webhooks.settled()
        first.deliver(Behaviour(paused=True))
        waiting = await client.v1.payment_intents.create_async(intent_params())
    await first.stop()
    assert len(receiver.received) == 1
    second = StripeLookalike(data=journal, webhook_url=receiver.url)
    await second.start()
    await second.webhooks.settled()
    await second.stop()
    assert len(receiver.received) == 2
    assert waiting.id.encode() in receiver.received[1][0]


async def test_the_command_serves_until_it_is_told_to_stop_and_survives_kill_9(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-m", "devkit.stripe", "--data", str(tmp_path / "j")]

    async def started() -> tuple[asyncio.subprocess.Process, str]:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "STRIPE_SECRET_KEY": "sk_test_other"},
        )
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
        return process, line.split()[-1]

    process, url = await started()
    headers = {"Authorization": "Bearer sk_test_other"}
    async with aiohttp.ClientSession(headers=headers) as session:
        async with session.post(
            f"{url}/v1/payment_intents", data={"amount": "500", "currency": "eur"}
        ) as response:
            item = (await response.json())["id"]
        process.kill()
        await process.wait()
        process, url = await started()
        async with session.get(f"{url}/v1/payment_intents/{item}") as response:
            assert (await response.json())["amount"] == 500
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 20) == 0


async def test_the_command_names_what_is_wrong(stripe_lookalike: StripeLookalike) -> None:
    port = stripe_lookalike.url.rsplit(":", 1)[1]
    for arguments, message in (
        (["--port", port], f"cannot listen on 127.0.0.1:{port}"),
        (["--secret-key", "sk_live_x"], "must begin with sk_test_"),
    ):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "devkit.stripe",
            *arguments,
            stderr=asyncio.subprocess.PIPE,
        )
        _, stderr = await asyncio.wait_for(process.communicate(), 20)
        assert process.returncode != 0
        assert message in stderr.decode()


async def test_a_declined_payment_is_there_after_a_restart(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    first = StripeLookalike(data=journal)
    await first.start()
    async with library(first) as client:
        made = await client.v1.payment_intents.create_async(intent_params())
        with pytest.raises(stripe.CardError):
            await client.v1.payment_intents.confirm_async(
                made.id,
                {"payment_method": "pm_card_chargeDeclined", "return_url": "https://a.example"},
            )
    await first.stop()
    for _ in range(2):  # the second time from what the first start has rewritten
        again = StripeLookalike(data=journal)
        await again.start()
        async with library(again) as client:
            found = await client.v1.payment_intents.retrieve_async(made.id)
            assert found.last_payment_error is not None
            assert found.last_payment_error.code == "card_declined"
        await again.stop()
