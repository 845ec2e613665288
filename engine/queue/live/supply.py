"""What a line may hope for: the stock that can be had, in the line's words."""

from __future__ import annotations

import msgspec

from engine.core.money import display
from engine.queue.live.serving import LeftView
from engine.sale.inventory import stock
from engine.sale.inventory.snapshot import Snapshot
from engine.sale.inventory.stock import TypeStock
from engine.sale.inventory.stock_reading import Reading


class Supply(msgspec.Struct, frozen=True, kw_only=True):
    """The stock of a line at one moment.

    ``free``: tickets that can be had by quantity, ``by_map``: with those that are chosen on the
    map only, ``held``: in carts, ``sold``. While nothing can be had, ``free`` and ``by_map`` are
    those of ``on_sale_ms``, the moment from which on something can. ``left``: by type; before the
    sale that of its opening. ``changes_ms``: when the clock alone changes any of it.
    """

    free: int
    by_map: int
    held: int
    sold: int
    sold_out: bool
    on_sale_ms: int
    changes_ms: int | None
    left: list[LeftView]


def supply(snapshot: Snapshot, reading: Reading, now_ms: int) -> Supply:
    """Return what the line of an occurrence may hope for."""
    free = reading.free
    now = stock.of_all(snapshot, free, now_ms, paused=reading.paused)
    on_sale_ms = stock.soonest(now, now_ms)
    then = now if on_sale_ms == now_ms else stock.of_all(snapshot, free, on_sale_ms)
    names = {name for kind in snapshot.ticket_types for name in stock.pools(snapshot, kind)[:1]}
    held = sum(reading.held.get(name, 0) for name in names)
    shown = then if now_ms < snapshot.sale_starts_at else now
    return Supply(
        free=stock.total(snapshot, then, free),
        by_map=stock.total(snapshot, then, free, by_map=True),
        held=held,
        sold=sum(reading.sold.get(name, 0) for name in names),
        sold_out=held == 0 and stock.is_sold_out(now),
        on_sale_ms=on_sale_ms,
        changes_ms=stock.next_change(snapshot, now_ms),
        left=[_left(one, snapshot.currency) for one in shown],
    )


def _left(one: TypeStock, currency: str) -> LeftView:
    price = None if one.tier is None else one.tier.price
    return LeftView(
        ticket_type=one.kind.code,
        name=one.kind.name,
        left=one.free,
        price_from=price,
        price_display=None if price is None else display(price, currency),
        state=one.state,
        on_map_only=one.on_map_only,
    )
