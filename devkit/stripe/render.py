"""The JSON of every object, with all the members that the API shows."""

from __future__ import annotations

from typing import Any

from devkit.stripe.cards import BY_NAME
from devkit.stripe.objects import Charge, Dispute, Event, Intent, Method, Refund
from devkit.stripe.state import API_VERSION, State

Document = dict[str, Any]
Expand = frozenset[str]
NOTHING: Expand = frozenset()
_FEE_BASIS_POINTS = 290
_FEE_FIXED = 30
_NO_ADDRESS = {
    "address": {
        "city": None,
        "country": None,
        "line1": None,
        "line2": None,
        "postal_code": None,
        "state": None,
    },
    "email": None,
    "name": None,
    "phone": None,
    "tax_id": None,
}


def below(expand: Expand, name: str) -> Expand:
    """Return what is expanded within ``name``: ``a.b`` becomes ``b``."""
    prefix = name + "."
    return frozenset(path[len(prefix) :] for path in expand if path.startswith(prefix))


def asked(expand: Expand, name: str) -> bool:
    """Tell whether ``name``, or something within it, is to be expanded."""
    return any(path == name or path.startswith(name + ".") for path in expand)


def _next_action(intent: Intent, url: str) -> Document | None:
    if not intent.challenge:
        return None
    return {
        "type": "redirect_to_url",
        "redirect_to_url": {
            "return_url": intent.return_url,
            "url": f"{url}/3ds/{intent.id}/{intent.challenge}",
        },
    }


def public_intent(intent: Intent, state: State) -> Document:
    """Return what a caller with the publishable key and the client secret may see."""
    return {
        "id": intent.id,
        "object": "payment_intent",
        "amount": intent.amount,
        "amount_details": {"tip": {}},
        "automatic_payment_methods": _automatic(intent),
        "canceled_at": intent.canceled_at,
        "cancellation_reason": intent.cancellation_reason,
        "capture_method": intent.capture_method,
        "client_secret": intent.client_secret,
        "confirmation_method": "automatic",
        "created": intent.created,
        "currency": intent.currency,
        "description": intent.description,
        "last_payment_error": intent.error,
        "livemode": False,
        "next_action": _next_action(intent, state.url),
        "payment_method": intent.method,
        "payment_method_configuration_details": None,
        "payment_method_types": intent.types,
        "processing": None,
        "receipt_email": intent.receipt_email,
        "setup_future_usage": None,
        "shipping": None,
        "source": None,
        "status": intent.status,
    }


def _automatic(intent: Intent) -> Document | None:
    return {"allow_redirects": "always", "enabled": True} if intent.automatic else None


def intent(item: Intent, state: State, expand: Expand = NOTHING) -> Document:
    """Return a PaymentIntent. ``expand``: latest_charge, payment_method and within them."""
    latest: Any = item.charges[-1] if item.charges else None
    method: Any = item.method
    if expand:
        if latest is not None and asked(expand, "latest_charge"):
            latest = charge(state.charges.get(latest), state, below(expand, "latest_charge"))
        if method is not None and asked(expand, "payment_method"):
            method = payment_method(state.method(method))
    return {
        **public_intent(item, state),
        "amount_capturable": item.amount_capturable,
        "amount_received": item.amount_received,
        "application": None,
        "application_fee_amount": None,
        "customer": None,
        "excluded_payment_method_types": None,
        "latest_charge": latest,
        "metadata": item.metadata,
        "on_behalf_of": None,
        "payment_method": method,
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "review": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": item.descriptor_suffix,
        "transfer_data": None,
        "transfer_group": None,
    }


def charge(item: Charge, state: State, expand: Expand = NOTHING) -> Document:
    """Return a Charge. ``expand``: balance_transaction, payment_intent."""
    failed = item.status == "failed"
    balance: Any = None
    if item.captured and not failed:
        balance = f"txn_{item.id[3:]}"
        if "balance_transaction" in expand:
            balance = charge_transaction(item)
    owner: Any = item.intent
    if "payment_intent" in expand:
        owner = intent(state.intents.get(item.intent), state)
    method = state.method(item.method)
    details = payment_method(method)
    return {
        "id": item.id,
        "object": "charge",
        "amount": item.amount,
        "amount_captured": item.amount_captured,
        "amount_refunded": item.amount_refunded,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": balance,
        "billing_details": _NO_ADDRESS,
        "calculated_statement_descriptor": "ONSALE",
        "captured": item.captured,
        "created": item.created,
        "currency": item.currency,
        "customer": None,
        "description": item.description,
        "disputed": item.disputed,
        "failure_balance_transaction": None,
        "failure_code": item.failure_code,
        "failure_message": item.failure_message,
        "fraud_details": {},
        "livemode": False,
        "metadata": item.metadata,
        "on_behalf_of": None,
        "outcome": {
            "network_status": "declined_by_network" if failed else "approved_by_network",
            "reason": item.decline_code,
            "risk_level": "normal",
            "risk_score": 5,
            "seller_message": "Payment failed." if failed else "Payment complete.",
            "type": "issuer_declined" if failed else "authorized",
        },
        "paid": item.status == "succeeded",
        "payment_intent": owner,
        "payment_method": item.method,
        "payment_method_details": {
            details["type"]: details[details["type"]],
            "type": details["type"],
        },
        "receipt_email": item.receipt_email,
        "receipt_number": None,
        "receipt_url": None,
        "refunded": item.amount_refunded == item.amount,
        "review": None,
        "shipping": None,
        "source_transfer": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": item.status,
        "transfer_data": None,
        "transfer_group": None,
    }


def payment_method(item: Method) -> Document:
    """Return a PaymentMethod."""
    card = BY_NAME[item.card]
    last4 = card.number[-4:]
    common = {
        "id": item.id,
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": _NO_ADDRESS,
        "created": item.created,
        "customer": None,
        "livemode": False,
        "metadata": item.metadata,
    }
    if card.debit:
        account = {
            "account_holder_type": "individual",
            "account_type": "checking",
            "bank_name": "STRIPE TEST BANK",
            "last4": last4,
            "routing_number": "110000000",
        }
        return {**common, "type": "us_bank_account", "us_bank_account": account}
    return {
        **common,
        "type": "card",
        "card": {
            "brand": card.brand,
            "checks": {
                "address_line1_check": None,
                "address_postal_code_check": None,
                "cvc_check": "pass",
            },
            "country": "US",
            "display_brand": card.brand,
            "exp_month": item.exp_month,
            "exp_year": item.exp_year,
            "fingerprint": f"look{card.number[::-1][:12]}",
            "funding": card.funding,
            "generated_from": None,
            "last4": last4,
            "networks": {"available": [card.brand], "preferred": None},
            "three_d_secure_usage": {"supported": True},
            "wallet": None,
        },
    }


def refund(item: Refund, state: State, expand: Expand = NOTHING) -> Document:
    """Return a Refund. ``expand``: charge, payment_intent."""
    owner: Any = item.intent
    source: Any = item.charge
    if asked(expand, "payment_intent"):
        owner = intent(state.intents.get(item.intent), state, below(expand, "payment_intent"))
    if asked(expand, "charge"):
        source = charge(state.charges.get(item.charge), state)
    return {
        "id": item.id,
        "object": "refund",
        "amount": item.amount,
        "balance_transaction": f"txn_{item.id[3:]}",
        "charge": source,
        "created": item.created,
        "currency": item.currency,
        "destination_details": {"card": {"type": "refund"}, "type": "card"},
        "failure_reason": item.failure_reason,
        "metadata": item.metadata,
        "payment_intent": owner,
        "reason": item.reason,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": item.status,
        "transfer_reversal": None,
    }


def dispute(item: Dispute) -> Document:
    """Return a Dispute."""
    return {
        "id": item.id,
        "object": "dispute",
        "amount": item.amount,
        "balance_transactions": [],
        "charge": item.charge,
        "created": item.created,
        "currency": item.currency,
        "evidence": {},
        "evidence_details": {"due_by": None, "has_evidence": False, "submission_count": 0},
        "is_charge_refundable": False,
        "livemode": False,
        "metadata": {},
        "payment_intent": item.intent,
        "reason": item.reason,
        "status": item.status,
    }


def event(item: Event) -> Document:
    """Return an Event with the object as it was then."""
    return {
        "id": item.id,
        "object": "event",
        "api_version": API_VERSION,
        "created": item.created,
        "data": {"object": item.data},
        "livemode": False,
        "pending_webhooks": int(item.pending),
        "request": {"id": item.request, "idempotency_key": item.key},
        "type": item.kind,
    }


def charge_transaction(item: Charge) -> Document:
    """Return the balance transaction of a captured charge."""
    fee = (item.amount_captured * _FEE_BASIS_POINTS + 9_999) // 10_000 + _FEE_FIXED
    return _transaction(item, "charge", item.amount_captured, fee)


def refund_transaction(item: Refund) -> Document:
    """Return the balance transaction of a refund: the fee is not given back."""
    return _transaction(item, "refund", -item.amount, 0)


def _transaction(item: Charge | Refund, kind: str, amount: int, fee: int) -> Document:
    return {
        "id": f"txn_{item.id[3:]}",
        "object": "balance_transaction",
        "amount": amount,
        "available_on": item.created,
        "created": item.created,
        "currency": item.currency,
        "description": None,
        "exchange_rate": None,
        "fee": fee,
        "fee_details": [],
        "net": amount - fee,
        "reporting_category": kind,
        "source": item.id,
        "status": "available",
        "type": kind,
    }


def page(url: str, items: list[Document], *, more: bool) -> Document:
    """Return one page of a list."""
    return {"object": "list", "url": url, "has_more": more, "data": items}
