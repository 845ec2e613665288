"""What the application carries of payments, by a typed key."""

from __future__ import annotations

from aiohttp import web

from engine.payments.stripe import StripeProvider

PROVIDER = web.AppKey("provider", StripeProvider)
