"""Checks and resolves ticket types, their tiers, and quotas."""

from __future__ import annotations

from collections.abc import Iterable

from engine.catalogue.catalogue import (
    CatalogueQuota,
    CatalogueTicketType,
    CatalogueTier,
    Policies,
)
from engine.catalogue.checks import Checks, sound_items
from engine.catalogue.document import COUNT_MAX, EventDocument, TicketTypeDocument, TierDocument
from engine.catalogue.problems import nearest, shown
from engine.catalogue.reading import sound
from engine.catalogue.seating import PlanIndex


def resolve_quotas(document: EventDocument, checks: Checks) -> tuple[CatalogueQuota, ...]:
    """Return the shared quotas, then one for each ticket type with a quantity of its own.

    One with a broken capacity counts as very large: what refers to it is not wrong.
    """
    checks.unique("quotas", "code", document.quotas)
    found = [
        _quota(quota.code, quota.name or quota.code, quota.capacity)
        for _, quota in sound_items(document.quotas, "quotas")
        if sound(quota.code)
    ]
    shared = {quota.code for quota in found}
    for path, kind in sound_items(document.ticket_types, "ticket_types"):
        if kind.quantity is None or not sound(kind.code):
            continue
        if kind.code in shared:
            message = f"a quota has the code {shown(kind.code)} too: rename one of them"
            checks.add(f"{path}.quantity", message)
        found.append(_quota(kind.code, kind.name, kind.quantity))
    return tuple(found)


def _quota(code: str, name: str, capacity: int) -> CatalogueQuota:
    return CatalogueQuota(code=code, name=name, capacity=capacity if sound(capacity) else COUNT_MAX)


def resolve_ticket_types(
    document: EventDocument,
    policies: Policies,
    quotas: Iterable[CatalogueQuota],
    index: PlanIndex | None,
    checks: Checks,
) -> tuple[CatalogueTicketType, ...]:
    """Return the ticket types. ``index`` None: references to the plan are not checked."""
    checks.unique("ticket_types", "code", document.ticket_types)
    codes = {quota.code for quota in quotas}
    found = []
    for path, kind in sound_items(document.ticket_types, "ticket_types"):
        _check_stock(kind, path, codes, checks)
        if index is not None:
            _check_category(kind, path, index, checks)
        found.append(_ticket_type(kind, path, policies, checks))
    return tuple(found)


def _ticket_type(
    kind: TicketTypeDocument, path: str, policies: Policies, checks: Checks
) -> CatalogueTicketType:
    sale_starts_at, sale_ends_at = checks.window(kind, "sale_starts_at", "sale_ends_at", path)
    most = policies.max_per_order if kind.max_per_order is None else kind.max_per_order
    if sound(most, policies.max_per_order, kind.min_per_order):
        possible = min(most, policies.max_per_order)
        if kind.min_per_order > possible:
            message = f"{kind.min_per_order} is more than the {possible} that an order may have"
            checks.add(f"{path}.min_per_order", message)
    own = () if kind.quantity is None else (kind.code,)
    return CatalogueTicketType(
        code=kind.code,
        name=kind.name,
        description=kind.description,
        category=kind.category,
        quotas=own + tuple(kind.quotas),
        tiers=_tiers(kind, path, checks),
        min_per_order=kind.min_per_order,
        max_per_order=most,
        max_per_buyer=kind.max_per_buyer,
        sale_starts_at=sale_starts_at,
        sale_ends_at=sale_ends_at,
    )


def _tiers(kind: TicketTypeDocument, path: str, checks: Checks) -> tuple[CatalogueTier, ...]:
    if kind.price is not None:
        if kind.tiers:
            checks.add(f"{path}.price", "give either price or tiers, not both")
        only = TierDocument(code="regular", name="Regular", price=kind.price)
        return (_tier(only, path, checks),)
    if not kind.tiers:
        checks.add(path, "needs a price, or tiers")
    checks.unique(f"{path}.tiers", "code", kind.tiers)
    return tuple(_tier(tier, at, checks) for at, tier in sound_items(kind.tiers, f"{path}.tiers"))


def _tier(tier: TierDocument, path: str, checks: Checks) -> CatalogueTier:
    starts_at, ends_at = checks.window(tier, "starts_at", "ends_at", path)
    return CatalogueTier(
        code=tier.code,
        name=tier.name or tier.code,
        price=checks.amount(tier.price, f"{path}.price"),
        capacity=tier.quantity,
        starts_at=starts_at,
        ends_at=ends_at,
    )


def _check_stock(kind: TicketTypeDocument, path: str, codes: set[str], checks: Checks) -> None:
    if kind.category is None and kind.quantity is None and not kind.quotas:
        checks.add(path, "needs a category (seats), or a quantity or quotas (general admission)")
    for index, code in enumerate(kind.quotas):
        at = f"{path}.quotas[{index}]"
        if not sound(code):
            continue
        if code not in codes:
            checks.add(at, f"{shown(code)} is not a quota{nearest(code, codes)}")
        elif code in kind.quotas[:index] or (kind.quantity is not None and code == kind.code):
            checks.add(at, f"{shown(code)} is listed twice")


def _check_category(kind: TicketTypeDocument, path: str, index: PlanIndex, checks: Checks) -> None:
    category = kind.category
    if category is None or not sound(category):
        return
    if not index.planned:
        checks.add(f"{path}.category", "needs a venue.seating_plan to sell seats of")
    elif category not in index.categories:
        known = nearest(category, index.categories)
        checks.add(f"{path}.category", f"{shown(category)} is not a category of the plan{known}")
