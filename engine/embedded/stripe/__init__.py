"""A Stripe look-alike that speaks the real wire protocol, for development and tests.

The ``stripe`` library talks to it unchanged. ``python -m engine.embedded.stripe``
runs it; :class:`StripeLookalike` runs it inside a test.
"""

from __future__ import annotations

from engine.embedded.stripe.faults import Fault
from engine.embedded.stripe.lookalike import StripeLookalike
from engine.embedded.stripe.webhooks import Behaviour

__all__ = ["Behaviour", "Fault", "StripeLookalike"]
