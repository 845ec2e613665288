"""Routes of orders, and of the payment provider's messages."""

from __future__ import annotations

from engine.payments.errors import (
    PaymentRefusedError,
    PaymentUnavailableError,
    WebhookRejectedError,
)
from engine.platform.http.errors import BodyTooLargeError
from engine.platform.http.route import Answer, Route
from engine.platform.http.schemas import Nothing
from engine.platform.valkey.errors import OverloadedError
from engine.sale.common_routes import COMMAND, HOLD, ORDER
from engine.sale.errors import (
    BacklogFullError,
    HoldChangedError,
    HoldExpiredError,
    HoldUnknownError,
    LinesUnavailableError,
    OccurrenceUnknownError,
    OrderStateError,
    OrderUnknownError,
    SalePausedError,
    TotalNotChargeableError,
)
from engine.sale.holds import endpoints as holds
from engine.sale.orders import endpoints as orders
from engine.sale.requests import CheckoutRequest
from engine.sale.views import CheckoutView, OrderView

ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path=f"{HOLD}/checkout",
        name="check_out",
        tag="Orders",
        summary="Make the order of a hold",
        description=(
            "The answer has what the buyer's client needs to pay; `payment` is null when nothing "
            "is to be paid, and the order is confirmed already. Prices are those of the hold; the "
            "minima and maxima of an order are those that are published now."
        ),
        handler=holds.check_out,
        body=CheckoutRequest,
        buyer=True,
        idempotency="required",
        errors=(
            *COMMAND,
            HoldUnknownError,
            HoldExpiredError,
            HoldChangedError,
            LinesUnavailableError,
            OrderStateError,
            SalePausedError,
            BacklogFullError,
            TotalNotChargeableError,
            PaymentRefusedError,
            PaymentUnavailableError,
        ),
        answers={201: Answer(description="The order.", body=CheckoutView)},
    ),
    Route(
        method="GET",
        path=ORDER,
        name="read_order",
        tag="Orders",
        summary="Read an order",
        handler=orders.read_order,
        buyer=True,
        errors=(*COMMAND, OrderUnknownError),
        answers={200: Answer(description="The order.", body=OrderView)},
    ),
    Route(
        method="POST",
        path=f"{ORDER}/cancel",
        name="cancel_order",
        tag="Orders",
        summary="Cancel a pending order",
        handler=orders.cancel_order,
        body=Nothing,
        body_optional=True,
        buyer=True,
        idempotency="required",
        errors=(
            *COMMAND,
            OrderUnknownError,
            OrderStateError,
            PaymentRefusedError,
            PaymentUnavailableError,
        ),
        answers={200: Answer(description="The order as it is now.", body=OrderView)},
    ),
    Route(
        method="POST",
        path=f"{ORDER}/settle",
        name="settle_order",
        tag="Orders",
        summary="Say that the order has been paid",
        description=(
            "The provider is asked; nobody need wait for its webhook. Asked more often than about "
            "once a second, the order is answered as it is known; `Retry-After` says when to ask "
            "again while it is still to be paid."
        ),
        handler=orders.settle_order,
        body=Nothing,
        body_optional=True,
        buyer=True,
        idempotency="required",
        errors=(*COMMAND, OrderUnknownError, PaymentRefusedError, PaymentUnavailableError),
        answers={200: Answer(description="The order as it is now.", body=OrderView)},
    ),
    Route(
        method="POST",
        path="/v1/webhooks/stripe",
        name="receive_stripe",
        tag="Payment provider",
        summary="Take a message of Stripe",
        description="Anything but 200 asks Stripe to send the message again.",
        handler=orders.receive_stripe,
        headers={"Stripe-Signature": "Signs the body; without it the message is refused."},
        errors=(
            WebhookRejectedError,
            BodyTooLargeError,
            OccurrenceUnknownError,
            OrderUnknownError,
            OverloadedError,
            PaymentUnavailableError,
            PaymentRefusedError,
        ),
        answers={200: Answer(description="What it says is recorded.")},
    ),
)
