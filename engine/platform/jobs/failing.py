"""Occurrences with which something is wrong, so that one of them never stops the others."""

from __future__ import annotations

import logging

log = logging.getLogger(__name__)


class FailingOccurrences:
    """Notes in which occurrences a task fails. Each is logged when it begins and when it ends.

    ``len()`` of it is how many there are now.
    """

    def __init__(self, task: str) -> None:
        self._task = task
        self._failing: set[str] = set()

    def __len__(self) -> int:
        return len(self._failing)

    def failed(self, occurrence: str, error: Exception) -> None:
        """Note that the task cannot be done for an occurrence."""
        if occurrence not in self._failing:
            self._failing.add(occurrence)
            log.warning("%s is left out for occurrence %s: %s", self._task, occurrence, error)

    def went_well(self, occurrence: str) -> None:
        """Note that it was done."""
        if occurrence in self._failing:
            self._failing.discard(occurrence)
            log.info("%s goes on for occurrence %s", self._task, occurrence)

    def keep(self, occurrences: set[str]) -> None:
        """Forget the others: they are gone."""
        self._failing &= occurrences
