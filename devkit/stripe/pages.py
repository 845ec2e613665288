"""The 3-D Secure page that ``next_action.redirect_to_url`` points to.

In a browser: two buttons, then back to the ``return_url`` with the members that
Stripe adds. For programs: POST with ``Accept: application/json`` and
``outcome=succeed`` or ``outcome=fail`` (form or query), answered with the intent.
"""

from __future__ import annotations

import html
from urllib.parse import urlencode

import msgspec
from aiohttp import web

from devkit.stripe import charging, render
from devkit.stripe.errors import ApiError, invalid
from devkit.stripe.objects import Intent
from devkit.stripe.state import State

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>3-D Secure test page</title>
<style>body{{font:1.1rem/1.5 sans-serif;max-width:32rem;margin:4rem auto;padding:0 1rem}}
button{{font:inherit;padding:.5rem 1rem;margin-right:1rem}}</style>
<h1>3-D Secure test page</h1>
<p>{text}</p>{form}</html>
"""
_FORM = """<form method="post">
<button name="outcome" value="succeed">Complete authentication</button>
<button name="outcome" value="fail">Fail authentication</button>
</form>"""


def show(state: State, item: str, challenge: str) -> web.Response:
    """Return the page with its two buttons, or one that says that it is too late."""
    try:
        intent = _challenged(state, item, challenge)
    except ApiError as error:
        return _html(str(error), "", status=error.status)
    amount = f"Pay {intent.amount} (minor units of {intent.currency.upper()})?"
    return _html(amount, _FORM, status=200)


def decide(state: State, item: str, challenge: str, outcome: str | None) -> Intent:
    """Take the buyer's decision. Raises :class:`ApiError` when it cannot be taken."""
    intent = _challenged(state, item, challenge)
    if outcome not in {"succeed", "fail"}:
        raise invalid("outcome must be succeed or fail", param="outcome")
    if outcome == "fail":
        charging.fail_challenge(state, intent)
    else:
        try:
            charging.take(state, intent, state.method(intent.method or ""))
        except ApiError:
            return intent  # declined after the challenge: the intent carries the error
    return intent


def back(intent: Intent, state: State, *, as_json: bool) -> web.Response:
    """Return the intent as JSON, or send the browser back to the shop."""
    if as_json:
        body = msgspec.json.encode(render.public_intent(intent, state))
        return web.Response(body=body, content_type="application/json")
    if intent.return_url is None:
        return _html(f"Done: the payment's status is {intent.status}.", "", status=200)
    failed = intent.status == "requires_payment_method"
    query = urlencode(
        {
            "payment_intent": intent.id,
            "payment_intent_client_secret": intent.client_secret,
            "redirect_status": "failed" if failed else "succeeded",
        }
    )
    joint = "&" if "?" in intent.return_url else "?"
    return web.Response(status=303, headers={"Location": f"{intent.return_url}{joint}{query}"})


def _challenged(state: State, item: str, challenge: str) -> Intent:
    intent = state.intents.get(item, "intent")
    if not challenge or intent.challenge != challenge:
        raise ApiError(410, "invalid_request_error", "This authentication has already ended")
    return intent


def _html(text: str, form: str, *, status: int) -> web.Response:
    page = _PAGE.format(text=html.escape(text), form=form)
    return web.Response(text=page, content_type="text/html", status=status)
