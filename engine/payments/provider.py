"""What the sale needs of a payment provider, whoever it is.

Amounts are minor units. Every call that creates something is idempotent: the
order's id is (part of) its idempotency key, so that asking twice does it once.
Each method raises ``PaymentUnavailableError`` when the provider does not answer
or answers 5xx (nothing is known then), ``PaymentRefusedError`` when it says no for
good. Wrong keys, limits of the rate and locks are outages, not refusals.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal, Protocol

import msgspec

from engine.core.charges import ChargeLimits
from engine.sale.documents import DisputeState

IntentStatus = Literal["open", "processing", "succeeded", "canceled"]


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """A payment that is under way. ``captured``: minor units that were taken.

    ``refunded``: given back or on its way. ``disputed``: the buyer's bank has
    ever asked for it back: :meth:`PaymentProvider.read_funds` tells how that is.
    ``status`` "open": can still be paid or cancelled (whatever the buyer's next step is).
    ``client_secret`` lets the buyer's own client pay exactly this.
    """

    id: str
    order: str
    occurrence: str
    status: IntentStatus
    amount: int
    currency: str
    captured: int = 0
    refunded: int = 0
    disputed: bool = False
    client_secret: str = ""
    failure: str = ""  # the provider's code of the last failed attempt
    installation: str = ""  # which installation made it; empty: it was not said


class Refund(msgspec.Struct, frozen=True, kw_only=True):
    """Money that is to go back. Only "succeeded" is done; "pending" may still fail.

    ``failure``: the provider's reason of a failed one.
    """

    id: str
    intent: str
    amount: int
    status: Literal["pending", "succeeded", "failed"]
    failure: str = ""


class Funds(msgspec.Struct, frozen=True, kw_only=True):
    """What the provider says now of an intent's money (minor units).

    ``refunded`` has arrived, ``refunding`` is on its way; ``withdrawn``: what a
    dispute that is open or lost has taken. ``failed``: refunds that came to
    nothing, ``failure``: why the newest did. ``refund_id``: the newest that did
    not.
    """

    captured: int
    currency: str
    refunded: int = 0
    refunding: int = 0
    failed: int = 0
    failure: str = ""
    refund_id: str = ""
    dispute: DisputeState = ""
    withdrawn: int = 0


class WebhookEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A verified message of the provider.

    ``intent``: as the message has it, None when it has none. ``payment``: the
    id of the intent that it is about, empty when it is about none: what became
    of its money is asked for, and never taken from the message. ``foreign``: it
    concerns a payment of another installation on the same account.
    """

    id: str
    kind: str
    created_s: int
    intent: Intent | None
    payment: str = ""
    foreign: bool = False


class PaymentProvider(Protocol):
    """The interface. One instance serves a whole process."""

    @property
    def name(self) -> str:
        """The name that orders record, e.g. "stripe"."""

    @property
    def publishable_key(self) -> str:
        """What the buyer's client needs beside the client secret; may be shown to anybody."""

    def charge_limits(self, currency: str) -> ChargeLimits:
        """Return what can be charged in a currency (ISO 4217)."""

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
        """Create the order's intent, or return the one that was created before.

        Raises ``PaymentMismatchError`` when it was created with other particulars.
        """

    async def find_intent(self, *, order: str, placed_at_s: int) -> Intent | None:
        """Return the intent of an order that was placed then, if looking for it finds one."""

    async def retrieve_intent(self, intent: str) -> Intent:
        """Return the intent as the provider sees it now."""

    async def cancel_intent(self, intent: str) -> Intent:
        """Cancel, and return the intent as it is afterwards.

        When it cannot be cancelled because it was paid (or is being paid), the
        returned status says so; this is not an error.
        """

    async def refund(
        self, *, intent: str, order: str, amount: int, reason: str, attempt: str = ""
    ) -> Refund:
        """Give ``amount`` back; the same (order, reason, amount, attempt) gives back once."""

    async def read_funds(self, intent: Intent, *, closely: bool) -> Funds:
        """Return what became of the money of an intent that was retrieved just now.

        ``closely``: also when the intent does not tell of refunds, so that those
        which came to nothing are seen.
        """

    def money_events(self, *, since_s: int) -> AsyncIterator[WebhookEvent]:
        """Tell of money that was captured, went back or was disputed since then, newest first."""

    def intents(self, *, created_after_s: int) -> AsyncIterator[Intent]:
        """Every intent of this installation since then, for the audit; pages come as needed."""

    def is_foreign(self, intent: Intent) -> bool:
        """Tell whether another installation on the same account made the intent."""

    def parse_webhook(self, body: bytes, signature: str) -> WebhookEvent:
        """Verify and decode a message. Raises ``WebhookRejectedError``."""

    async def close(self) -> None:
        """Close connections."""
