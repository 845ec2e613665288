"""Disputes: a buyer's bank asks for a charge's money, takes it, and decides."""

from __future__ import annotations

from devkit.stripe import render
from devkit.stripe.call import Call, encode
from devkit.stripe.errors import ApiError, invalid
from devkit.stripe.ids import new_id
from devkit.stripe.objects import Charge, Dispute
from devkit.stripe.state import State, now

INQUIRIES = ("warning_needs_response", "warning_under_review", "warning_closed")
OPEN = ("needs_response", "under_review")
CLOSED = ("won", "lost", "warning_closed")
STATUSES = (*INQUIRIES, *OPEN, "won", "lost")


def open_dispute(
    state: State, charge: Charge, *, status: str = "needs_response", amount: int | None = None
) -> Dispute:
    """Dispute a charge; unless it is an inquiry, its money is withdrawn at once."""
    dispute = Dispute(
        id=new_id("dp"),
        created=now(),
        intent=charge.intent,
        charge=charge.id,
        amount=charge.amount_captured if amount is None else amount,
        currency=charge.currency,
        status=status,
    )
    charge.disputed = True
    state.put(charge)
    state.put(dispute)
    state.emit("charge.dispute.created", render.dispute(dispute))
    if status in OPEN:
        state.emit("charge.dispute.funds_withdrawn", render.dispute(dispute))
    return dispute


def move(state: State, dispute: Dispute, status: str) -> None:
    """Let a dispute go on, or end. Raises :class:`ApiError` for a status that there is not."""
    if status not in STATUSES:
        raise invalid(f"A dispute is never {status[:32]}", param="status")
    withdrawn = dispute.status in (*OPEN, "lost")
    dispute.status = status
    state.put(dispute)
    kind = "closed" if status in CLOSED else "updated"
    state.emit(f"charge.dispute.{kind}", render.dispute(dispute))
    if withdrawn and status == "won":
        state.emit("charge.dispute.funds_reinstated", render.dispute(dispute))
    if not withdrawn and status in (*OPEN, "lost"):
        state.emit("charge.dispute.funds_withdrawn", render.dispute(dispute))


def blocks_refunds(state: State, charge: Charge) -> bool:
    """Tell whether the charge cannot be refunded: its bank has the money, or took it for good."""
    return charge.disputed and any(
        dispute.charge == charge.id and dispute.status in (*OPEN, "lost")
        for dispute in state.disputes
    )


class Disputes:
    """See the module; every endpoint takes a call and returns the JSON of the answer."""

    def __init__(self, state: State) -> None:
        self._state = state

    def retrieve(self, call: Call) -> bytes:
        """``GET /v1/disputes/:id``."""
        call.params.finish()
        return encode(render.dispute(self._state.disputes.get(call.item, "dispute")))

    def list(self, call: Call) -> bytes:
        """``GET /v1/disputes``, newest first; of one intent or charge if named."""
        params = call.params
        owner, source = params.text("payment_intent"), params.text("charge")
        items, more = self._state.disputes.page(
            params, lambda item: owner in (None, item.intent) and source in (None, item.charge)
        )
        params.finish()
        documents = [render.dispute(item) for item in items]
        return encode(render.page("/v1/disputes", documents, more=more))


def disputed_charge(state: State, intent: str) -> Charge:
    """Return the captured charge of an intent. Raises :class:`ApiError`."""
    found = state.intents.get(intent, "intent")
    charge = state.charges.get(found.charges[-1]) if found.charges else None
    if charge is None or not charge.captured:
        raise ApiError(400, "invalid_request_error", "This intent has no captured charge")
    return charge
