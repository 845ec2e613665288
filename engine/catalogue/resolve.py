"""Checks what single members of an event file cannot tell, and resolves it.

Works on documents that may have broken members (see
:mod:`engine.catalogue.reading`), so that one reading names all mistakes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from zoneinfo import ZoneInfo

from engine.catalogue.catalogue import (
    Catalogue,
    CatalogueOccurrence,
    CatalogueQuota,
    CatalogueTicketType,
    Policies,
)
from engine.catalogue.charging import Tariff, check_totals, mixed_notices
from engine.catalogue.checks import Checks, sound_items
from engine.catalogue.document import (
    EventDocument,
    FeesDocument,
    OccurrenceDocument,
    PoliciesDocument,
)
from engine.catalogue.limits import check_plan, check_tiers
from engine.catalogue.moments import Moment, parse_duration
from engine.catalogue.problems import Problems, shown
from engine.catalogue.reading import sound
from engine.catalogue.seating import PlanIndex, resolve_allocations, resolve_kinds
from engine.catalogue.seating_plan import SeatingPlan
from engine.catalogue.ticketing import resolve_quotas, resolve_ticket_types
from engine.catalogue.waiting_room import resolve_waiting_room
from engine.core.money import Fees

TYPES_OF_ALL_OCCURRENCES_MAX = 5_000
DURATION_MS_MAX = 86_400_000  # a day; what is kept longer is an allocation


def resolve(
    document: EventDocument, plan: SeatingPlan | None, problems: Problems, *, plan_read: bool = True
) -> Catalogue:
    """Return the checked event; every mistake is noted in ``problems``.

    ``plan_read`` False: a plan is named but could not be read, so nothing that
    refers to it is checked. The result is only good when no problem was noted.
    """
    checks = Checks(document, problems)
    index = PlanIndex(plan) if plan_read else None
    occurrences = tuple(
        _occurrence(item, path, checks)
        for path, item in sound_items(document.occurrences, "occurrences")
    )
    checks.unique("occurrences", "key", document.occurrences)
    policies = _policies(document.policies, checks)
    quotas = resolve_quotas(document, checks)
    types = resolve_ticket_types(document, policies, quotas, index, checks)
    if len(occurrences) * len(types) > TYPES_OF_ALL_OCCURRENCES_MAX:
        most = f"{TYPES_OF_ALL_OCCURRENCES_MAX:,}"
        checks.add("occurrences", f"times ticket_types are more than {most}: split the file")
    kinds = resolve_kinds(document.venue, index, checks)
    allocations = resolve_allocations(document.allocations, index, quotas, checks)
    check_plan(plan, kinds, checks)
    check_tiers(types, checks)
    tariff = _tariff(document, checks)
    check_totals(document, tariff, policies, types, quotas, index, checks)
    _check_emails(document, checks)
    return Catalogue(
        organization=document.organization,
        venue=document.venue,
        event=document.event,
        tax_rate_bp=tariff.tax_rate_bp,
        fees=tariff.fees,
        policies=policies,
        room=resolve_waiting_room(document.waiting_room, occurrences, checks),
        plan=plan,
        kinds=kinds,
        occurrences=occurrences,
        ticket_types=types,
        quotas=quotas,
        allocations=allocations,
        notices=(
            *checks.notices,
            *_notices(types, quotas, plan),
            *mixed_notices(tariff, policies, types),
        ),
    )


def _tariff(document: EventDocument, checks: Checks) -> Tariff:
    tax_rate_bp = 0
    if sound(document.event):
        tax_rate_bp = checks.percent(document.event.tax_percent, "event.tax_percent")
    return Tariff(
        currency=checks.currency if sound(checks.currency) else "",
        fees=_fees(document.fees, checks),
        tax_rate_bp=tax_rate_bp,
    )


def _check_emails(document: EventDocument, checks: Checks) -> None:
    organization, venue = document.organization, document.venue
    if sound(organization):
        checks.email(organization.email, "organization.email")
    if sound(venue) and sound(venue.contact):
        checks.email(venue.contact.email, "venue.contact.email")


def _fees(fees: FeesDocument, checks: Checks) -> Fees:
    if not sound(fees):
        return Fees()
    return Fees(
        platform_percent_bp=checks.percent(fees.platform_percent, "fees.platform_percent"),
        platform_per_ticket=checks.amount(fees.platform_per_ticket, "fees.platform_per_ticket"),
        payment_percent_bp=checks.percent(fees.payment_percent, "fees.payment_percent"),
        payment_fixed=checks.amount(fees.payment_fixed, "fees.payment_fixed"),
    )


def _policies(given: PoliciesDocument, checks: Checks) -> Policies:
    if not sound(given):
        given = PoliciesDocument()
    lengths = {}
    for name in ("hold", "hold_max", "payment_window"):
        text = getattr(given, name)
        lengths[name] = parse_duration(text) if sound(text) else 1
        if lengths[name] > DURATION_MS_MAX:
            checks.add(f"policies.{name}", f"{shown(text)} is more than 24 hours")
    if sound(given.hold, given.hold_max) and lengths["hold"] > lengths["hold_max"]:
        most = shown(given.hold_max)
        checks.add("policies.hold", f"{shown(given.hold)} is longer than hold_max {most}")
    return Policies(
        hold_ttl_ms=lengths["hold"],
        hold_ttl_ms_max=lengths["hold_max"],
        payment_window_ms=lengths["payment_window"],
        max_per_order=given.max_per_order,
        max_per_buyer=given.max_per_buyer,
        refund=given.refund,
        transfer=given.transfer,
        cancellation=given.cancellation,
    )


def _occurrence(item: OccurrenceDocument, path: str, checks: Checks) -> CatalogueOccurrence:
    zone = checks.time_zone(item.timezone, f"{path}.timezone") or checks.zone
    starts_at, ends_at = checks.window(item, "starts_at", "ends_at", path, zone)
    sale_starts_at, sale_ends_at = checks.window(item, "sale_starts_at", "sale_ends_at", path, zone)
    return CatalogueOccurrence(
        key=item.key,
        zone=zone or ZoneInfo("UTC"),
        starts_at=starts_at or Moment(),
        ends_at=ends_at or Moment(),
        sale_starts_at=sale_starts_at or Moment(),
        sale_ends_at=sale_ends_at or Moment(),
    )


def _notices(
    types: Iterable[CatalogueTicketType],
    quotas: Iterable[CatalogueQuota],
    plan: SeatingPlan | None,
) -> Iterator[str]:
    used = {code for kind in types for code in kind.quotas}
    for quota in quotas:
        if quota.code not in used:
            yield f'no ticket type takes from quota "{quota.code}"'
    sold = {kind.category for kind in types}
    zones = () if plan is None else plan.zones
    seats = Counter(seat.category for zone in zones for row in zone.rows for seat in row.seats)
    for category, count in seats.items():
        if category not in sold:
            yield f'no ticket type sells the {count:,} seats of category "{category}"'
