"""The Refunds, Charges and BalanceTransactions endpoints."""

from __future__ import annotations

from devkit.stripe import render
from devkit.stripe.call import Call, encode
from devkit.stripe.cards import BY_NAME
from devkit.stripe.disputes import blocks_refunds
from devkit.stripe.errors import invalid, missing, refused
from devkit.stripe.ids import new_id
from devkit.stripe.objects import Charge, Refund, RefundStatus
from devkit.stripe.state import State, now

_GONE = ("failed", "canceled")  # refunds that came to nothing
_REASONS = ("duplicate", "fraudulent", "requested_by_customer")


class Refunds:
    """See the module; every endpoint takes a call and returns the JSON of the answer."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._begin: list[RefundStatus] = []  # how the next refunds begin

    def begin_as(self, status: RefundStatus, count: int) -> None:
        """Let the next ``count`` refunds that are made begin with this status."""
        self._begin = [status] * count

    def create(self, call: Call) -> bytes:
        """``POST /v1/refunds``: all that is left of the charge, or ``amount``."""
        params = call.params
        self._state.refunds.check_room()
        charge = self._charge(params.text("payment_intent"), params.text("charge"))
        amount = params.integer("amount")
        reason = params.choice("reason", _REASONS)
        metadata = params.metadata({})
        params.finish()
        if blocks_refunds(self._state, charge):
            raise refused("This charge has been charged back", code="charge_disputed")
        status = self._begin.pop(0) if self._begin else None
        refund = self.make(charge, amount, status=status, reason=reason, metadata=metadata)
        return encode(render.refund(refund, self._state, call.expand))

    def make(
        self,
        charge: Charge,
        amount: int | None,
        *,
        status: RefundStatus | None,
        reason: str | None,
        metadata: dict[str, str],
    ) -> Refund:
        """Refund ``amount`` of a charge, or all that is left. ``status`` None: as its card does.

        Raises :class:`ApiError` when that is not left.
        """
        left = charge.amount_captured - (charge.amount_refunded - self._released(charge))
        if left <= 0:
            raise refused(
                f"Charge {charge.id} has already been refunded", code="charge_already_refunded"
            )
        amount = left if amount is None else amount
        if amount < 1:
            raise invalid("Invalid positive integer", "amount", "parameter_invalid_integer")
        if amount > left:
            raise refused(
                f"Refund amount ({amount}) is greater than what is left of the charge ({left})",
                param="amount",
            )
        card = BY_NAME[self._state.method(charge.method).card]
        refund = Refund(
            id=new_id("re"),
            created=now(),
            intent=charge.intent,
            charge=charge.id,
            amount=amount,
            currency=charge.currency,
            status=status or ("pending" if card.refund == "pending" else "succeeded"),
            reason=reason,
            metadata=metadata,
        )
        gone = refund.status in _GONE
        if gone:
            refund.failure_reason = "declined" if refund.status == "failed" else None
        else:
            charge.amount_refunded += amount
        intent = self._state.intents.get(charge.intent)
        intent.refunds.append(refund.id)
        for item in (refund, charge, intent):
            self._state.put(item)
        self._state.emit("refund.created", render.refund(refund, self._state))
        if gone:
            self._tell_end(refund)
        else:
            self._state.emit("charge.refunded", render.charge(charge, self._state))
        return refund

    def retrieve(self, call: Call) -> bytes:
        """``GET /v1/refunds/:id``."""
        call.params.finish()
        refund = self._state.refunds.get(call.item)
        return encode(render.refund(refund, self._state, call.expand))

    def list(self, call: Call) -> bytes:
        """``GET /v1/refunds``, newest first; of one intent or charge if named."""
        params = call.params
        owner, source = params.text("payment_intent"), params.text("charge")
        if source is not None:
            owner = self._state.charges.get(source, "charge").intent
        within = None if owner is None else self._state.intents.get(owner, "payment_intent").refunds
        items, more = self._state.refunds.page(
            params, lambda item: source is None or item.charge == source, within
        )
        params.finish()
        expand = render.below(call.expand, "data")
        documents = [render.refund(item, self._state, expand) for item in items]
        return encode(render.page("/v1/refunds", documents, more=more))

    def settle(self, refund: Refund) -> None:
        """Let a refund that takes time end as its card says."""
        if self.will_fail(refund):
            self.end(refund, "failed", "lost_or_stolen_card")
        else:
            self.end(refund, "succeeded")

    def end(self, refund: Refund, status: RefundStatus, failure_reason: str = "") -> None:
        """Let a refund go to another status; what failed or was canceled is the account's again.

        Raises :class:`ApiError` when it came to nothing before.
        """
        if refund.status in _GONE:
            raise refused(f"Refund {refund.id} is {refund.status}")
        refund.status = status
        if status in _GONE:
            charge = self._state.charges.get(refund.charge)
            charge.amount_refunded -= refund.amount
            refund.failure_reason = failure_reason if status == "failed" else None
            self._state.put(charge)
        self._state.put(refund)
        self._tell_end(refund)

    def _tell_end(self, refund: Refund) -> None:
        kinds = ["refund.updated", "charge.refund.updated"]
        if refund.status == "failed":
            kinds.insert(0, "refund.failed")
        for kind in kinds:
            self._state.emit(kind, render.refund(refund, self._state))

    def will_fail(self, refund: Refund) -> bool:
        """Tell whether the refund looks well but the bank will send it back."""
        charge = self._state.charges.get(refund.charge)
        card = BY_NAME[self._state.method(charge.method).card]
        return card.refund == "fails" and refund.status not in _GONE

    def retrieve_charge(self, call: Call) -> bytes:
        """``GET /v1/charges/:id``."""
        call.params.finish()
        charge = self._state.charges.get(call.item, "charge")
        return encode(render.charge(charge, self._state, call.expand))

    def list_charges(self, call: Call) -> bytes:
        """``GET /v1/charges``, newest first; of one intent if named."""
        owner = call.params.text("payment_intent")
        within = None if owner is None else self._state.intents.get(owner, "payment_intent").charges
        items, more = self._state.charges.page(call.params, within=within)
        call.params.finish()
        expand = render.below(call.expand, "data")
        documents = [render.charge(item, self._state, expand) for item in items]
        return encode(render.page("/v1/charges", documents, more=more))

    def retrieve_transaction(self, call: Call) -> bytes:
        """``GET /v1/balance_transactions/:id``: of a captured charge, or of a refund."""
        call.params.finish()
        tail = call.item.removeprefix("txn_")
        charge = self._state.charges.find(f"ch_{tail}")
        if charge is not None and charge.captured:
            return encode(render.charge_transaction(charge))
        refund = self._state.refunds.find(f"re_{tail}")
        if refund is not None:
            return encode(render.refund_transaction(refund))
        raise missing("balance_transaction", call.item, "id")

    def _charge(self, owner: str | None, source: str | None) -> Charge:
        if source is not None:
            charge = self._state.charges.get(source, "charge")
        elif owner is not None:
            intent = self._state.intents.get(owner, "payment_intent")
            if intent.status != "succeeded":
                raise refused(
                    f"PaymentIntent {owner} has no successful charge to refund",
                    param="payment_intent",
                )
            charge = self._state.charges.get(intent.charges[-1])
        else:
            raise invalid(
                "One of these is needed: charge, payment_intent", code="parameter_missing"
            )
        if charge.status != "succeeded" or not charge.captured:
            raise refused(f"Charge {charge.id} has not been captured", code="charge_not_refundable")
        return charge

    @staticmethod
    def _released(charge: Charge) -> int:
        """Return what a partial capture gave up; it counts as refunded but was never taken."""
        return max(0, charge.amount - charge.amount_captured)
