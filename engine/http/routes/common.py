"""What several routes have in common."""

from __future__ import annotations

from engine.core.errors import (
    LinesUnavailableError,
    NotOnSaleError,
    OccurrenceUnknownError,
    OverloadedError,
    SalePausedError,
    SoldOutError,
)
from engine.http.route import Answer

OCCURRENCE = "/v1/occurrences/{occurrence}"
HOLD = f"{OCCURRENCE}/holds/{{hold}}"
ORDER = f"{OCCURRENCE}/orders/{{order}}"
TAG = {"ETag": "The version; send it as If-None-Match."}
IF_NONE_MATCH = {"If-None-Match": "The ETag of the answer that the client has."}
UNCHANGED = Answer(description="The client has this version.", headers=TAG)
COMMAND = (OccurrenceUnknownError, OverloadedError)  # what every command of the sale may meet
LINES = (LinesUnavailableError, SoldOutError, NotOnSaleError, SalePausedError)
