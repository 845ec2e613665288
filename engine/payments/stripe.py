"""Stripe as the payment provider, through the official library and its aiohttp client.

The library's documented ``raw_request_async`` is used: it keeps signing,
encoding, retries and errors, and leaves out the typed objects, whose making
costs more than the rest of a call together (0.48 ms against 0.22 ms of CPU).

Stripe replays the first answer to an idempotency key for a day, a 500 too. So
a replayed 500 is answered by asking once more under the next key: for an
intent that is harmless, because nobody was ever given the first one's client
secret; before a refund the refunds that exist are read, so none is made twice.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Any, Self

import aiohttp
import msgspec
import stripe

from engine.core.charges import ChargeLimits
from engine.core.errors import OnsaleError
from engine.core.settings import Settings
from engine.payments import stripe_limits
from engine.payments import stripe_objects as wire
from engine.payments.errors import (
    PaymentMismatchError,
    PaymentRefusedError,
    PaymentUnavailableError,
    WebhookRejectedError,
)
from engine.payments.provider import Funds, Intent, Refund, WebhookEvent

WEBHOOK_EVENTS = (
    "payment_intent.succeeded",
    "payment_intent.payment_failed",
    "payment_intent.canceled",
    "payment_intent.processing",
    "payment_intent.requires_action",
    *wire.MONEY_EVENTS,
)
"""The kinds to enable on the webhook endpoint at Stripe."""

WEBHOOK_BYTES_MAX = 65_536
WEBHOOK_TOLERANCE_S = 300
_SIGNATURE_LENGTH_MAX = 1_024
_CONNECTIONS_MAX = 100
_RETRIES = 2
_ATTEMPT_SHARE = 0.45  # of the whole time, so that one that hangs leaves room for another
_KEYS_MAX = 3  # idempotency keys to try when an earlier one replays a 500
_PAGE = 100
_RETRY_AFTER_S = 2
_CLOCKS_DIFFER_S = 3_600
_CREATED_WITHIN_S = 86_400  # of being placed: no order is tried for longer
# Refused by their status, and nobody's fault: https://docs.stripe.com/error-codes
_OUTAGES = frozenset(
    {
        "lock_timeout",
        "rate_limit",
        "idempotency_key_in_use",
        "api_key_expired",
        "testmode_charges_only",
    }
)
_LOG = logging.getLogger(__name__)

stripe.enable_telemetry = False  # it writes a file in the home directory, and costs time


class StripeProvider:
    """See :class:`engine.payments.provider.PaymentProvider`.

    ``timeout_s`` bounds every call, its retries included. Connections are made
    at the first call; :meth:`close` ends them. ``installation`` is written into
    every payment: several installations may share an account, and each leaves the
    payments of the others alone. What names none belongs to whoever knows its order.
    """

    name = "stripe"

    def __init__(
        self,
        *,
        secret_key: str,
        publishable_key: str,
        webhook_secret: str,
        api_base: str,
        timeout_s: float,
        installation: str = "",
    ) -> None:
        self.publishable_key = publishable_key
        self._installation = installation
        self._secret_key = secret_key
        self._webhook_secret = webhook_secret
        self._api_base = api_base.rstrip("/")
        self._timeout_s = timeout_s
        self._tls: ssl.SSLContext | bool = True
        if api_base.startswith("https:"):
            self._tls = ssl.create_default_context(cafile=stripe.ca_bundle_path)
        self._session: aiohttp.ClientSession | None = None
        self._made: stripe.StripeClient | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return a provider as the settings say."""
        return cls(
            secret_key=settings.stripe_secret_key,
            publishable_key=settings.stripe_publishable_key,
            webhook_secret=settings.stripe_webhook_secret,
            api_base=settings.stripe_api_base,
            timeout_s=settings.provider_timeout_s,
            installation=settings.installation_name,
        )

    def charge_limits(self, currency: str) -> ChargeLimits:
        """Return what Stripe can charge in a currency."""
        return stripe_limits.charge_limits(currency)

    async def create_intent(
        self,
        *,
        order: str,
        occurrence: str,
        amount: int,
        currency: str,
        email: str,
        description: str,
    ) -> Intent:
        """Create the order's intent, or return it as it was when it was created."""
        metadata = {"order": order, "occurrence": occurrence}
        if self._installation:
            metadata["installation"] = self._installation
        params = {
            "amount": amount,
            "currency": currency.lower(),
            "automatic_payment_methods": {"enabled": True},
            "description": description,
            "metadata": metadata,
            **({"receipt_email": email} if email else {}),
        }
        answer = await self._post("/v1/payment_intents", params, key=f"onsale-intent-{order}")
        return wire.owned(answer, wire.PaymentIntent)

    async def find_intent(self, *, order: str, placed_at_s: int) -> Intent | None:
        """Return the intent of an order by looking through those of the day it was placed."""
        since = placed_at_s - _CLOCKS_DIFFER_S
        until = placed_at_s + _CREATED_WITHIN_S
        params = {"created": {"gte": since, "lte": until}, "expand": ["data.latest_charge"]}
        async for item in self._pages("/v1/payment_intents", params, wire.Page[wire.PaymentIntent]):
            intent = item.intent()
            if intent is not None and intent.order == order and not self.is_foreign(intent):
                return intent
        return None

    async def retrieve_intent(self, intent: str) -> Intent:
        """Return the intent as Stripe sees it now."""
        answer = await self._call(
            "get", f"/v1/payment_intents/{intent}", {"expand": ["latest_charge"]}
        )
        return wire.owned(answer, wire.PaymentIntent)

    async def cancel_intent(self, intent: str) -> Intent:
        """Cancel, or return the intent as it is when it cannot be cancelled any more.

        No lasting idempotency key: cancelling twice does no harm, and a saved
        answer could be older than the truth.
        """
        path = f"/v1/payment_intents/{intent}/cancel"
        try:
            answer = await self._call("post", path, {"expand": ["latest_charge"]})
        except PaymentRefusedError as error:
            if error.extra.get("provider_code") != "payment_intent_unexpected_state":
                raise
            return await self.retrieve_intent(intent)
        return wire.owned(answer, wire.PaymentIntent)

    async def refund(
        self, *, intent: str, order: str, amount: int, reason: str, attempt: str = ""
    ) -> Refund:
        """Give ``amount`` back; the same (order, reason, amount, attempt) gives back once.

        A refund that failed at the bank may be asked for again. Raises
        ``PaymentRefusedError`` with Stripe's code: ``charge_already_refunded``,
        ``charge_disputed``, for an amount above what is left the error's type
        (https://docs.stripe.com/error-codes).
        """
        wanted = {"order": order, "reason": reason, **({"attempt": attempt} if attempt else {})}
        failed = 0
        async for given in self._pages(
            "/v1/refunds", {"payment_intent": intent}, wire.Page[wire.Refund]
        ):
            if given.metadata == wanted and given.amount == amount:
                found = given.refund()
                if found.status != "failed":
                    return found
                failed += 1
        parts = f"{intent}\n{reason}\n{amount}\n{attempt}\n{failed}"
        digest = hashlib.sha256(parts.encode()).hexdigest()[:32]
        answer = await self._post(
            "/v1/refunds",
            {"payment_intent": intent, "amount": amount, "metadata": wanted},
            key=f"onsale-refund-{order}-{digest}",
        )
        return wire.read(answer, wire.Refund).refund()

    async def read_funds(self, intent: Intent, *, closely: bool) -> Funds:
        """Return what became of the money of an intent that was retrieved just now.

        The refunds say it, not the charge's ``amount_refunded``, which does not
        tell what is still on its way (https://docs.stripe.com/refunds).
        """
        of_intent = {"payment_intent": intent.id}
        refunds: list[wire.Refund] = []
        disputes: list[wire.Dispute] = []
        if closely or intent.refunded:
            pages = self._pages("/v1/refunds", of_intent, wire.Page[wire.Refund])
            refunds = [refund async for refund in pages]
        if intent.disputed:
            found = self._pages("/v1/disputes", of_intent, wire.Page[wire.Dispute])
            disputes = [dispute async for dispute in found]
        return wire.funds(intent, refunds, disputes)

    async def money_events(self, *, since_s: int) -> AsyncIterator[WebhookEvent]:
        """Yield what happened to money since then, newest first; Stripe keeps 30 days."""
        kinds = ["payment_intent.succeeded", *wire.MONEY_EVENTS]
        params = {"created": {"gte": since_s}, "types": kinds}
        async for item in self._pages("/v1/events", params, wire.Page[wire.ListedEvent]):
            event = item.event()
            if event.intent is None or not self.is_foreign(event.intent):
                yield event

    async def intents(self, *, created_after_s: int) -> AsyncIterator[Intent]:
        """Yield the intents that belong to orders, newest first; other intents are left out."""
        params = {"created": {"gte": created_after_s}, "expand": ["data.latest_charge"]}
        async for item in self._pages("/v1/payment_intents", params, wire.Page[wire.PaymentIntent]):
            intent = item.intent()
            if intent is not None and not self.is_foreign(intent):
                yield intent

    def parse_webhook(self, body: bytes, signature: str) -> WebhookEvent:
        """Verify and decode a message. Raises :class:`WebhookRejectedError`.

        The body may have 64 KiB, the signature's time may be 300 s old.
        """
        if len(body) > WEBHOOK_BYTES_MAX or len(signature) > _SIGNATURE_LENGTH_MAX:
            raise WebhookRejectedError("The message is too large.")
        if not signature.isascii():
            raise WebhookRejectedError(
                "The signature is malformed."
            )  # the library would fail on it
        try:
            stripe.WebhookSignature.verify_header(
                body, signature, self._webhook_secret, WEBHOOK_TOLERANCE_S
            )
        except (stripe.SignatureVerificationError, UnicodeError) as error:
            raise WebhookRejectedError(
                "The signature does not fit this message, or is too old."
            ) from error
        try:
            event = wire.event(body)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise WebhookRejectedError("The message cannot be read.") from error
        if event.intent is not None and self.is_foreign(event.intent):
            return msgspec.structs.replace(event, intent=None, payment="", foreign=True)
        return event

    def is_foreign(self, intent: Intent) -> bool:
        """Tell whether another installation made the intent."""
        return bool(
            self._installation and intent.installation and intent.installation != self._installation
        )

    async def close(self) -> None:
        """Close connections; a later call would make new ones."""
        session, self._session, self._made = self._session, None, None
        if session is not None:
            await session.close()

    def _client(self) -> stripe.StripeClient:
        if self._made is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=_CONNECTIONS_MAX, ssl=self._tls),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
            timeout = aiohttp.ClientTimeout(total=self._timeout_s * _ATTEMPT_SHARE)
            self._made = stripe.StripeClient(
                self._secret_key,
                base_addresses={"api": self._api_base},
                http_client=stripe.AIOHTTPClient(session=self._session, timeout=timeout),
                max_network_retries=_RETRIES,
            )
        return self._made

    async def _call(
        self, method: str, path: str, params: Mapping[str, Any], *, key: str | None = None
    ) -> object:
        options = {} if key is None else {"idempotency_key": key}
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await self._client().raw_request_async(method, path, **params, **options)
        except stripe.StripeError as error:
            raise _mapped(error) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _unavailable() from error
        return response.data

    async def _post(self, path: str, params: Mapping[str, Any], *, key: str) -> object:
        """Call under the key, or under the next one when the answer is an old 500."""
        for attempt in range(1, _KEYS_MAX + 1):
            try:
                return await self._call("post", path, params, key=f"{key}-{attempt}")
            except PaymentUnavailableError as error:
                if attempt == _KEYS_MAX or not _is_replayed(error.__cause__):
                    raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _pages(
        self, path: str, params: Mapping[str, Any], kind: type[wire.Page[wire.Listed]]
    ) -> AsyncIterator[wire.Listed]:
        after: dict[str, str] = {}
        while True:
            answer = await self._call("get", path, {**params, "limit": _PAGE, **after})
            page = wire.read(answer, kind)
            for item in page.data:
                yield item
            if not page.has_more or not page.data:
                return
            after = {"starting_after": page.data[-1].id}


def _unavailable() -> PaymentUnavailableError:
    return PaymentUnavailableError(
        "The payment provider does not answer; try again in a moment.",
        retry_after_s=_RETRY_AFTER_S,
    )


def _is_replayed(error: BaseException | None) -> bool:
    return (
        isinstance(error, stripe.StripeError)
        and (error.headers or {}).get("Idempotent-Replayed") == "true"
    )


def _mapped(error: stripe.StripeError) -> OnsaleError:
    kind = error.error.type if error.error is not None else None
    provider_code = error.code or kind or "refused"
    if provider_code in _OUTAGES:
        return _unavailable()
    if isinstance(error, stripe.IdempotencyError):
        return PaymentMismatchError(
            "The payment provider has made this payment with other particulars.",
            provider_code=provider_code,
        )
    if isinstance(error, (stripe.CardError, stripe.InvalidRequestError)):
        return PaymentRefusedError(
            "The payment provider refuses this.", provider_code=provider_code
        )
    if isinstance(error, stripe.AuthenticationError | stripe.PermissionError):
        # The keys are wrong, not the order: it must be kept until they are right.
        _LOG.error("Stripe refuses the key: check STRIPE_SECRET_KEY (%s)", error.user_message)
    return _unavailable()
