"""Reads an event file and the seating plan it names. Blocks: not for an event loop."""

from __future__ import annotations

from pathlib import Path

from engine.catalogue import reading, seating_plan
from engine.catalogue.catalogue import Catalogue
from engine.catalogue.document import EventDocument
from engine.catalogue.problems import InvalidDocumentError, Problems
from engine.catalogue.reading import read_yaml, sound
from engine.catalogue.resolve import resolve
from engine.catalogue.seating_plan import SeatingPlan, read_plan


def read_event(path: Path) -> Catalogue:
    """Return the event that a file describes.

    Raises :class:`InvalidDocumentError` naming every mistake in it and in the
    seating plan.
    """
    problems = Problems()
    data = _contents(path, reading.BYTES_MAX, "", problems)
    problems.check(str(path))
    document = read_yaml(EventDocument, data, problems)
    if not sound(document):
        problems.check(str(path))
    plan, plan_read = _plan(document, path, problems)
    catalogue = resolve(document, plan, problems, plan_read=plan_read)
    problems.check(str(path))
    return catalogue


def _plan(
    document: EventDocument, path: Path, problems: Problems
) -> tuple[SeatingPlan | None, bool]:
    """Return the plan, and False when one is named but could not be read."""
    venue = document.venue
    if not sound(venue) or not sound(venue.seating_plan):
        return None, False
    if venue.seating_plan is None:
        return None, True
    unread = Problems()
    plan_path = path.parent / venue.seating_plan
    data = _contents(plan_path, seating_plan.BYTES_MAX, "", unread)
    if not unread.found:
        try:
            return read_plan(data), True
        except InvalidDocumentError as error:
            unread.found.extend(error.problems)
    problems.take(f"venue.seating_plan ({venue.seating_plan})", unread.found)
    return None, False


def _contents(path: Path, size_max: int, at: str, problems: Problems) -> bytes:
    try:
        if not path.is_file():
            problems.add(at, f"{path} is not a file" if path.exists() else f"there is no {path}")
            return b""
        if path.stat().st_size > size_max:
            problems.add(at, f"{path} is larger than {size_max // 1024**2} MiB")
            return b""
        return path.read_bytes()
    except OSError as error:
        problems.add(at, f"{path} cannot be read: {error.strerror}")
        return b""
