"""Routes of the waiting room. They need no Idempotency-Key: a buyer has one place in a line."""

from __future__ import annotations

from engine.core.errors import NotFoundError, UnauthorizedError
from engine.platform.http.common_routes import IF_NONE_MATCH, TAG, UNCHANGED
from engine.platform.http.errors import OriginRefusedError, TooManyRequestsError, UpgradeNeededError
from engine.platform.http.route import Answer, Route
from engine.queue import endpoints as queue
from engine.queue.errors import (
    ChallengeError,
    NotCalledError,
    NotInQueueError,
    PlaceExpiredError,
    QueueClosedError,
)
from engine.queue.live.feed import ServingMessage, YouMessage
from engine.queue.live.serving import ServingView
from engine.queue.schemas import (
    JoinRequest,
    LiveTicketView,
    QueueLiveQuery,
    RosterQuery,
)
from engine.queue.views import DrawView, QueueView
from engine.sale.common_routes import COMMAND, OCCURRENCE
from engine.sale.errors import OccurrenceUnknownError

_QUEUE = f"{OCCURRENCE}/queue"

ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path=_QUEUE,
        name="join_queue",
        tag="Waiting room",
        summary="Stand in line",
        description=(
            "However often it is sent, the buyer has one place. Before the opening everybody "
            "joins the pre-queue, and the draw gives each a number; later ones follow in the "
            "order of arrival. Ask for the place again after `ask_in_ms`."
        ),
        handler=queue.join_queue,
        body=JoinRequest,
        body_optional=True,
        buyer=True,
        errors=(*COMMAND, QueueClosedError, ChallengeError, TooManyRequestsError),
        answers={200: Answer(description="The buyer's place.", body=QueueView)},
    ),
    Route(
        method="GET",
        path=_QUEUE,
        name="read_place",
        tag="Waiting room",
        summary="Read one's place in line",
        handler=queue.read_place,
        buyer=True,
        errors=(*COMMAND, NotInQueueError),
        answers={200: Answer(description="The buyer's place.", body=QueueView)},
    ),
    Route(
        method="DELETE",
        path=_QUEUE,
        name="leave_queue",
        tag="Waiting room",
        summary="Give one's place up",
        handler=queue.leave_queue,
        buyer=True,
        errors=COMMAND,
        answers={204: Answer(description="The buyer has no place now.")},
    ),
    Route(
        method="POST",
        path=f"{_QUEUE}/enter",
        name="enter_queue",
        tag="Waiting room",
        summary="Go in when called",
        description="From then on the buyer can hold tickets, for as long as `leave_in_ms` says.",
        handler=queue.enter_queue,
        buyer=True,
        errors=(*COMMAND, NotInQueueError, NotCalledError, PlaceExpiredError, QueueClosedError),
        answers={200: Answer(description="The buyer's place: inside.", body=QueueView)},
    ),
    Route(
        method="POST",
        path=f"{_QUEUE}/ticket",
        name="create_live_ticket",
        tag="Waiting room",
        summary="Get a ticket for one live connection",
        handler=queue.create_live_ticket,
        buyer=True,
        errors=(OccurrenceUnknownError,),
        answers={200: Answer(description="The ticket.", body=LiveTicketView)},
    ),
    Route(
        method="GET",
        path=f"{_QUEUE}/live",
        name="watch_queue",
        tag="Waiting room",
        summary="Watch the line (WebSocket)",
        description=(
            "Connect with a WebSocket and a ticket. The first message is `ServingMessage`, the "
            "second `YouMessage`. Then comes a `ServingMessage` to everybody whenever the line "
            "has changed, several times a second at most, and a `YouMessage` when the buyer is "
            "called, inside, done or out of time; after the last two of these the connection "
            "ends. When `drawn` becomes true, read the place once, some random seconds later: it "
            "has a number then. A client that does not read is dropped: it connects again."
        ),
        handler=queue.watch_queue,
        query=QueueLiveQuery,
        messages=(ServingMessage, YouMessage),
        errors=(
            *COMMAND,
            NotInQueueError,
            UnauthorizedError,
            OriginRefusedError,
            UpgradeNeededError,
        ),
        answers={101: Answer(description="The connection is a WebSocket now.")},
    ),
    Route(
        method="GET",
        path=f"{_QUEUE}/serving",
        name="read_serving",
        tag="Waiting room",
        summary="Read how the line stands: the same for everybody",
        handler=queue.read_serving,
        headers=IF_NONE_MATCH,
        errors=COMMAND,
        answers={
            200: Answer(description="How the line stands.", body=ServingView, headers=TAG),
            304: UNCHANGED,
        },
    ),
    Route(
        method="GET",
        path=f"{_QUEUE}/draw",
        name="read_draw",
        tag="Waiting room",
        summary="Read the commitment of the draw, and after it the seed",
        handler=queue.read_draw,
        errors=COMMAND,
        answers={200: Answer(description="What it takes to check the draw.", body=DrawView)},
    ),
    Route(
        method="GET",
        path=f"{_QUEUE}/roster",
        name="read_roster",
        tag="Waiting room",
        summary="Read the roster that was drawn: 16 bytes a place, in the order of joining",
        handler=queue.read_roster,
        query=RosterQuery,
        errors=(*COMMAND, NotFoundError),
        answers={
            200: Answer(description="The leaves.", media_type="application/octet-stream"),
        },
    ),
)
