"""Refuses at loading and publication what the payment provider could never charge.

For each tier every quantity that one order may have is reckoned with fees and
tax. Mixed orders are reckoned at checkout, before stock is tied to them: of
those only the largest is looked at here, and told as a notice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from engine.catalogue.catalogue import (
    CatalogueQuota,
    CatalogueTicketType,
    CatalogueTier,
    Policies,
)
from engine.catalogue.checks import Checks, sound_items
from engine.catalogue.document import EventDocument
from engine.catalogue.reading import sound
from engine.catalogue.seating import PlanIndex
from engine.core.charges import ChargeLimits
from engine.core.currencies import EXPONENTS
from engine.core.money import Fees, order_total
from engine.payments import charge_limits
from engine.sale.inventory.snapshot import Snapshot


class Tariff(msgspec.Struct, frozen=True):
    """How totals are reckoned for one event."""

    currency: str
    fees: Fees
    tax_rate_bp: int

    @property
    def limits(self) -> ChargeLimits:
        """What the provider can charge in the event's currency."""
        return charge_limits(self.currency)

    def total(self, subtotal: int, tickets: int) -> int:
        """Return an order's total in minor units."""
        return order_total(
            subtotal,
            tickets,
            fees=self.fees,
            tax_rate_bp=self.tax_rate_bp,
            step=self.limits.step,
        ).total

    def shown(self, amount: int) -> str:
        """Return an amount as people write it, e.g. "45.00 EUR"."""
        exponent = EXPONENTS.get(self.currency.upper(), 0)
        digits = str(amount).rjust(exponent + 1, "0")
        at = len(digits) - exponent
        return f"{digits[:at]}{'.' * bool(exponent)}{digits[at:]} {self.currency}"

    def objection(self, price: int, least: int, most: int) -> str:
        """Return what is wrong with selling ``least`` to ``most`` tickets at ``price``, or ""."""
        limits = self.limits
        # totals grow with the quantity: both ends tell, unless every one must be a multiple
        counts = range(least, most + 1) if limits.step > 1 else sorted({least, most})
        for count in counts:
            total = self.total(price * count, count)
            obstacle = limits.obstacle(total)
            if obstacle is None:
                continue
            what = f"{count} ticket{'s' * (count != 1)} would cost {self.shown(total)}"
            if obstacle == "too_small":
                return (
                    f"{what} in all, below the {self.shown(limits.minimum)} that the payment"
                    " provider charges at least: raise the price or min_per_order"
                )
            if obstacle == "too_large":
                return (
                    f"{what} in all, above the {self.shown(limits.maximum)} that the payment"
                    " provider charges at most: lower the price or max_per_order"
                )
            if obstacle == "wrong_step":
                return (
                    f"{what} in all, and the payment provider charges only multiples of"
                    f" {self.shown(limits.step)}: choose another price or fee"
                )
            return f"the payment provider does not take {self.currency}"
        return ""


def check_totals(
    document: EventDocument,
    tariff: Tariff,
    policies: Policies,
    types: Iterable[CatalogueTicketType],
    quotas: Iterable[CatalogueQuota],
    index: PlanIndex | None,
    checks: Checks,
) -> None:
    """Note every tier with a quantity that can never be charged."""
    if tariff.currency not in EXPONENTS:
        return
    stock = {quota.code: quota.capacity for quota in quotas}
    documents = sound_items(document.ticket_types, "ticket_types")
    for (path, given), kind in zip(documents, types, strict=True):
        if not sound(kind.min_per_order):
            continue
        paths = (
            [f"{path}.price"]
            if given.price is not None
            else [f"{at}.price" for at, _ in sound_items(given.tiers, f"{path}.tiers")]
        )
        for at, tier in zip(paths, kind.tiers, strict=True):
            most = _most(kind, tier, policies, stock, index)
            if most >= kind.min_per_order:
                objection = tariff.objection(tier.price, kind.min_per_order, most)
                if objection:
                    checks.add(at, objection)


def mixed_notices(
    tariff: Tariff, policies: Policies, types: Iterable[CatalogueTicketType]
) -> Iterator[str]:
    """Tell when the largest order that is allowed could not be charged."""
    if tariff.currency not in EXPONENTS or not sound(policies.max_per_order):
        return
    left, subtotal = policies.max_per_order, 0
    dearest = sorted(
        (
            (max((tier.price for tier in kind.tiers), default=0), kind.max_per_order)
            for kind in types
            if sound(kind.max_per_order)
        ),
        reverse=True,
    )
    for price, most in dearest:
        subtotal += price * min(most, left)
        left -= min(most, left)
    total = tariff.total(subtotal, policies.max_per_order - left)
    if tariff.limits.obstacle(total) == "too_large":
        yield (
            f"an order of the dearest {policies.max_per_order - left} tickets would cost"
            f" {tariff.shown(total)}, above the {tariff.shown(tariff.limits.maximum)} that the"
            " payment provider charges at most: such an order is refused at checkout"
        )


def objections(snapshot: Snapshot) -> Iterator[str]:
    """Yield a sentence for every tier of a snapshot that can never be charged."""
    tariff = Tariff(snapshot.currency, snapshot.fees, snapshot.tax_rate_bp)
    for kind in snapshot.ticket_types:
        for tier in kind.tiers:
            most = _least_of(
                *(kind.max_per_order, kind.max_per_buyer, tier.capacity),
                *(snapshot.max_per_order, snapshot.max_per_buyer),
                *(snapshot.quotas[index].capacity for index in kind.quotas),
            )
            if most < kind.min_per_order:
                continue
            objection = tariff.objection(tier.price, kind.min_per_order, most)
            if objection:
                yield f'ticket type "{kind.code}", tier "{tier.code}": {objection}'


def _most(
    kind: CatalogueTicketType,
    tier: CatalogueTier,
    policies: Policies,
    stock: Mapping[str, int],
    index: PlanIndex | None,
) -> int:
    """Return the most tickets of a tier that one order may have."""
    seats = None
    if index is not None and kind.category in index.categories:
        seats = len(index.categories[kind.category])
    return _least_of(
        *(kind.max_per_order, kind.max_per_buyer, tier.capacity, seats),
        *(policies.max_per_order, policies.max_per_buyer),
        *(stock.get(code) for code in kind.quotas if sound(code)),
    )


def _least_of(*limits: int | None) -> int:
    return min((limit for limit in limits if limit is not None and sound(limit)), default=0)
