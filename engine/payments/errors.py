"""Failures of the payment provider."""

from __future__ import annotations

from engine.core.errors import OnsaleError


class PaymentUnavailableError(OnsaleError):
    """The payment provider does not answer; the order and its seats are kept."""

    code, status, title = "payment_unavailable", 503, "The payment provider does not answer"


class PaymentRefusedError(OnsaleError):
    """The payment provider refuses the call for good; ``provider_code`` says why."""

    code, status, title = "payment_refused", 402, "The payment provider refuses"


class PaymentMismatchError(PaymentRefusedError):
    """The provider knows this payment with other particulars: it exists, and must be found."""

    code, title = "payment_mismatch", "The payment provider knows this payment differently"


class WebhookRejectedError(OnsaleError):
    """The signature, the time or the body of a webhook is not acceptable."""

    code, status, title = "webhook_rejected", 400, "This webhook is not acceptable"
