"""Small event files for the tests, as plain members, so that a test can break any of them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import msgspec
import yaml

ROOT = Path(__file__).resolve().parents[2]
HALL = ROOT / "data/venues/riethsporthalle-erfurt.json"
DEMO = ROOT / "data/demo.yaml"


def plan() -> dict[str, Any]:
    """Two zones of two rows of four seats: categories "Stalls" (12) and "Balcony" (4)."""
    zones = []
    for z, name in enumerate(("Left", "Right")):
        rows = []
        for r in range(2):
            category = "Balcony" if z == 1 and r == 1 else "Stalls"
            seats = [
                {
                    "seat_guid": f"{name}-{r + 1}-{s + 1}",
                    "seat_number": str(s + 1),
                    "position": {"x": s * 25, "y": 0},
                    "category": category,
                }
                for s in range(4)
            ]
            rows.append(
                {"row_number": str(r + 1), "position": {"x": 0, "y": r * 40}, "seats": seats}
            )
        zones.append({"name": name, "position": {"x": z * 200, "y": 10}, "rows": rows})
    return {
        "name": "Small hall",
        "categories": [{"name": "Stalls", "color": "#111111"}, {"name": "Balcony"}],
        "size": {"width": 400, "height": 100},
        "zones": zones,
    }


def event() -> dict[str, Any]:
    """An event in the small hall with seats, standing, a shared quota and allocations."""
    return {
        "organization": {"slug": "players", "name": "The Players"},
        "venue": {
            "slug": "small-hall",
            "name": "Small hall",
            "timezone": "Europe/Berlin",
            "seating_plan": "plan.json",
        },
        "event": {
            "slug": "hamlet",
            "name": "Hamlet",
            "category": "theatre",
            "currency": "EUR",
            "tax_percent": "7",
        },
        "occurrences": [
            {
                "key": "premiere",
                "starts_at": "2031-05-01T20:00:00+02:00",
                "ends_at": "2031-05-01T22:00:00+02:00",
                "sale_starts_at": "2031-01-01T10:00:00+01:00",
                "sale_ends_at": "2031-05-01T19:00:00+02:00",
            }
        ],
        "quotas": [{"code": "reduced", "capacity": 5}],
        "ticket_types": [
            {
                "code": "stalls",
                "name": "Stalls",
                "category": "Stalls",
                "tiers": [
                    {"code": "early", "price": "20.00", "quantity": 3},
                    {"code": "regular", "price": "25.00"},
                ],
            },
            {
                "code": "stalls-reduced",
                "name": "Stalls, reduced",
                "category": "Stalls",
                "price": "15.00",
                "quotas": ["reduced"],
            },
            {"code": "balcony", "name": "Balcony", "category": "Balcony", "price": "12.50"},
            {"code": "standing", "name": "Standing", "quantity": 10, "price": "8.00"},
        ],
        "allocations": [
            {"code": "press", "purpose": "press", "seats": ["Left-1-1", "Left-1-2"]},
            {"code": "crew", "purpose": "other", "quota": "standing", "quantity": 4},
        ],
    }


def edited(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return a copy in which the member at ``path`` (``a.0.b``) has ``value`` (``...``: none)."""
    result = copy.deepcopy(document)
    node: Any = result
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in parents:
        node = node[part]
    if value is ...:
        del node[last]
    else:
        node[last] = value
    return result


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True


def written(directory: Path, document: Any, seating: Any = None) -> Path:
    """Write an event file and its plan into ``directory`` and return the file's path."""
    (directory / "plan.json").write_bytes(msgspec.json.encode(seating or plan()))
    path = directory / "event.yaml"
    path.write_text(yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True))
    return path
