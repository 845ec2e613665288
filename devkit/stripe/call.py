"""One request as the endpoints see it."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

import msgspec

from devkit.stripe.errors import invalid
from devkit.stripe.forms import Params
from devkit.stripe.objects import Intent
from devkit.stripe.render import Document, Expand, intent, public_intent
from devkit.stripe.state import State


@dataclass(slots=True)
class Call:
    """``secret``: made with the secret key; else it is a buyer's client with the publishable one.

    ``item``: the id in the path, if there is one.
    """

    params: Params
    item: str
    secret: bool
    expand: Expand

    def may_see(self, item: Intent) -> None:
        """Raise ``ApiError`` unless the caller has the secret key or the intent's client secret."""
        given = self.params.text("client_secret")
        if given is None:
            if self.secret:
                return
            raise self.params.lacking("client_secret")
        if not hmac.compare_digest(given.encode(), item.client_secret.encode()):
            raise invalid(
                "The client_secret does not belong to this PaymentIntent",
                param="client_secret",
                code="payment_intent_invalid_parameter",
            )

    def show(self, item: Intent, state: State) -> bytes:
        """Return the intent's JSON, as much of it as the caller may see."""
        document = intent(item, state, self.expand) if self.secret else public_intent(item, state)
        return encode(document)


def encode(document: Document) -> bytes:
    """Return the JSON of an answer."""
    return msgspec.json.encode(document)
