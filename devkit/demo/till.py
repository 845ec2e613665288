"""Paying as a buyer's own client does: at the provider, with the intent's client secret."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import aiohttp
import orjson

from devkit.demo.figures import Stopwatch
from engine.core.errors import OnsaleError

Json = dict[str, Any]

GOOD_CARDS = ("pm_card_visa", "pm_card_mastercard", "pm_card_amex", "pm_card_visa_debit")
BAD_CARDS = (
    "pm_card_chargeDeclined",
    "pm_card_chargeDeclinedInsufficientFunds",
    "pm_card_chargeDeclinedExpiredCard",
    "pm_card_chargeDeclinedIncorrectCvc",
)
CHALLENGED_CARD = "pm_card_threeDSecure2Required"
BANK_DEBIT = "pm_usBankAccount_success"  # "processing" until it is settled


class NoLookalikeError(OnsaleError):
    """The provider is a real one, or none."""

    code, title = "no_lookalike", "The demo pays with test cards at the Stripe look-alike"


class Till:
    """The provider's look-alike at ``url``."""

    def __init__(self, session: aiohttp.ClientSession, url: str, stopwatch: Stopwatch) -> None:
        self._session = session
        self._url = url
        self._stopwatch = stopwatch

    async def check(self) -> None:
        """Raise :class:`NoLookalikeError` unless this is the look-alike."""
        try:
            async with self._session.get(f"{self._url}/_test/state") as response:
                if response.status == 200:  # noqa: PLR2004 - OK
                    return
        except (aiohttp.ClientError, OSError, TimeoutError):
            pass
        raise NoLookalikeError(
            f"{self._url} is not the Stripe look-alike: unset STRIPE_API_BASE and start `onsale up`"
        )

    async def pay(self, payment: Json, card: str) -> str:
        """Pay an order's ``payment`` with a card, through 3-D Secure if it asks for it.

        Returns the intent's status afterwards: "succeeded", "processing",
        "canceled", or "requires_payment_method" when it was declined.
        """
        with self._stopwatch.timing("pay"):
            path = f"/v1/payment_intents/{payment['intent']}"
            mine = {"key": payment["publishable_key"], "client_secret": payment["client_secret"]}
            answer = await self._ask(
                "POST",
                f"{path}/confirm",
                {**mine, "payment_method": card, "return_url": "http://127.0.0.1/"},
            )
            action = answer.get("next_action")
            if action:
                page = action["redirect_to_url"]["url"].removeprefix(self._url)
                answer = await self._ask("POST", page, {"outcome": "succeed"})
            if "status" not in answer:  # another attempt at the same time has ended this one
                answer = await self._ask("GET", path, mine)
        if "status" not in answer:
            raise NoLookalikeError(f"intent {payment['intent']} cannot be paid: {answer}")
        return str(answer["status"])

    async def settle(self) -> None:
        """Let all bank debits that are under way end."""
        await self._ask("POST", "/_test/settle", {})

    async def behave(self, behaviour: Json) -> Json:
        """Change how webhooks are delivered; returns how they were delivered before."""
        async with self._session.get(f"{self._url}/_test/webhooks") as response:
            before: Json = (await response.json())["behaviour"]
        async with self._session.post(
            f"{self._url}/_test/webhooks", data=orjson.dumps(behaviour)
        ) as response:
            response.raise_for_status()
        return before

    async def _ask(self, method: str, path: str, fields: Mapping[str, str]) -> Json:
        """Return the answer, or what a refusal says of the intent (nothing, at times)."""
        async with self._session.request(
            method,
            self._url + path,
            params=fields if method == "GET" else None,
            data=fields if method == "POST" else None,
            headers={"Accept": "application/json"},
        ) as response:
            answer: Json = orjson.loads(await response.read())
        if "error" in answer:
            found: Json = answer["error"].get("payment_intent", {})
            return found
        return answer


def good_card(rng: random.Random) -> str:
    """Return a card that pays."""
    return rng.choice(GOOD_CARDS)
