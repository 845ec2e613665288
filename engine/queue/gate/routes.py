"""Routes of the door of the waiting room."""

from __future__ import annotations

from engine.platform.http.errors import TooManyRequestsError
from engine.platform.http.route import Answer, Route
from engine.platform.valkey.errors import OverloadedError
from engine.queue.gate import door
from engine.queue.gate.proof_of_work import Challenge
from engine.sale.common_routes import OCCURRENCE
from engine.sale.errors import OccurrenceUnknownError

ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path=f"{OCCURRENCE}/queue/challenge",
        name="read_challenge",
        tag="Waiting room",
        summary="Get the proof of work that joining takes",
        description=(
            "An ALTCHA challenge (PoW v2, altcha.org): its widget and its libraries solve it. "
            "Send the result, base 64 of the JSON `{challenge, solution}`, as `challenge` when you "
            "join. It is for this buyer and this occurrence, for 20 minutes; while very many "
            "people join, a challenge takes more work. A buyer is given so many, and a network."
        ),
        handler=door.read_challenge,
        buyer=True,
        errors=(OccurrenceUnknownError, OverloadedError, TooManyRequestsError),
        answers={200: Answer(description="A challenge, new each time.", body=Challenge)},
    ),
)
