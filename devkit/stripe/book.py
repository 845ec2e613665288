"""What happens at the end of every change: write it down, keep the answer, tell the webhook."""

from __future__ import annotations

from devkit.stripe.idempotency import Answers
from devkit.stripe.journal import Entry, Journal
from devkit.stripe.objects import Event, SavedAnswer
from devkit.stripe.state import State
from devkit.stripe.webhooks import Webhooks


class Book:
    """Binds the state, the saved answers and the journal."""

    def __init__(self, state: State, answers: Answers, journal: Journal) -> None:
        self.state = state
        self.answers = answers
        self._journal = journal

    def load(self) -> None:
        """Replay the journal and rewrite it. Raises ``JournalError``."""
        for entry in self._journal.replay():
            for item in entry.changed:
                self.state.load(item)
            for answer in entry.answers:
                self.answers.load(answer)
            for delivered in entry.delivered:
                event = self.state.events.find(delivered)
                if event is not None:
                    event.pending = False
        self._journal.open(self.state.everything(), self.answers)

    def commit(
        self,
        webhooks: Webhooks,
        *,
        request: str,
        key: str | None = None,
        answer: SavedAnswer | None = None,
    ) -> None:
        """Write down what the request changed, and hand its events to the webhooks."""
        changed, events = self.state.take_changes(request, key, webhooks.wants)
        if answer is not None:
            self.answers.load(answer)
        if changed or events or answer is not None:
            answers = [] if answer is None else [answer]
            self._journal.write(Entry(changed=[*changed, *events], answers=answers))
        for event in events:
            if event.pending:
                webhooks.submit(event)

    def delivered(self, event: Event) -> None:
        """Write down that the webhook endpoint has accepted an event."""
        event.pending = False
        self._journal.write(Entry(delivered=[event.id]))

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()
