"""What several routes of the sale have in common."""

from __future__ import annotations

from engine.platform.valkey.errors import OverloadedError
from engine.sale.errors import (
    LinesUnavailableError,
    NotOnSaleError,
    OccurrenceUnknownError,
    SalePausedError,
    SoldOutError,
)

OCCURRENCE = "/v1/occurrences/{occurrence}"


HOLD = f"{OCCURRENCE}/holds/{{hold}}"


ORDER = f"{OCCURRENCE}/orders/{{order}}"


COMMAND = (OccurrenceUnknownError, OverloadedError)  # what every command of the sale may meet


LINES = (LinesUnavailableError, SoldOutError, NotOnSaleError, SalePausedError)
