"""A Stripe look-alike that speaks the real wire protocol, for development and tests.

The ``stripe`` library talks to it unchanged. ``python -m devkit.stripe``
runs it; :class:`StripeLookalike` runs it inside a test.
"""

from __future__ import annotations

from devkit.stripe.faults import Fault
from devkit.stripe.lookalike import StripeLookalike
from devkit.stripe.webhooks import Behaviour

__all__ = ["Behaviour", "Fault", "StripeLookalike"]
