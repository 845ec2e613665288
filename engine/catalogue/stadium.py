"""An event in a stadium of any size, for load."""

from __future__ import annotations

from typing import Any

from engine.catalogue.bowl import WHEELCHAIR, bowl
from engine.catalogue.catalogue import Catalogue
from engine.catalogue.document import EventDocument
from engine.catalogue.problems import Problems
from engine.catalogue.reading import read_value
from engine.catalogue.resolve import resolve
from engine.catalogue.seating_plan import SeatingPlan

SEATS_MAX = 150_000  # more than any stadium that stands today
_PRICES = {
    "Lower side": "89.00",
    "Lower end": "55.00",
    "Middle side": "69.00",
    "Middle end": "45.00",
    "Upper side": "39.00",
    "Upper end": "25.00",
    WHEELCHAIR: "25.00",
}


def stadium(seats: int, *, slug: str, occurrences: int, general: int) -> Catalogue:
    """Return an event in a stadium of exactly ``seats`` seats.

    ``general``: how many may stand, 0 for nobody. Raises
    :class:`InvalidDocumentError` for a slug or a number that cannot be.
    """
    problems = Problems()
    if not 1 <= seats <= SEATS_MAX:
        problems.add("--stadium", f"must be from 1 to {SEATS_MAX:,}")
        problems.check("The stadium")
    plan = bowl(seats)
    document = read_value(EventDocument, _document(slug, plan, occurrences, general), problems)
    catalogue = resolve(document, plan, problems)
    problems.check("The stadium")
    return catalogue


def _document(slug: str, plan: SeatingPlan, occurrences: int, general: int) -> dict[str, Any]:
    types: list[dict[str, Any]] = [
        {
            "code": category.name.lower().replace(" ", "-"),
            "name": category.name,
            "category": category.name,
            "price": _PRICES[category.name],
        }
        for category in plan.categories
    ]
    if general:
        types.append(
            {"code": "standing", "name": "Standing", "quantity": general, "price": "19.00"}
        )
    accessible = [category.name for category in plan.categories if category.name == WHEELCHAIR]
    return {
        "organization": {"slug": "stadium", "name": "The Stadium Company"},
        "venue": {
            "slug": slug,
            "name": f"Stadium {slug}",
            "timezone": "Europe/Berlin",
            "capacity": plan.seat_count + general,
            "focus": {"x": (plan.width or 0.0) / 2, "y": (plan.height or 0.0) / 2},
            "seat_kinds": [{"kind": "wheelchair", "categories": accessible}],
        },
        "event": {
            "slug": slug,
            "name": f"Concert at {slug}",
            "category": "concert",
            "currency": "EUR",
            "tax_percent": "7",
        },
        "fees": {
            "platform_percent": "2.5",
            "platform_per_ticket": "0.50",
            "payment_percent": "1.4",
            "payment_fixed": "0.25",
        },
        "occurrences": [
            {
                "key": f"night-{number}",
                "starts_at": f"in {365 + number} days at 20:00",
                "ends_at": f"in {365 + number} days at 23:00",
                "sale_starts_at": "now",
                "sale_ends_at": f"in {365 + number} days at 19:00",
            }
            for number in range(1, occurrences + 1)
        ],
        "ticket_types": types,
    }
