"""The sale as it runs, on a terminal; a line now and then elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.text import Text

from devkit.demo.crowd import Sale, Tick
from devkit.demo.report import peak

_RECENT_S = 3.0
_LINE_S = 10.0


def _recent(sale: Sale) -> float:
    """Return the orders a second of the last moments."""
    since = time.perf_counter() - _RECENT_S
    moments = [moment for moment in sale.venue.tally.confirmed_at if moment >= since]
    return peak(moments, _RECENT_S)


def _line(sale: Sale) -> str:
    tally, lobby = sale.venue.tally, sale.venue.lobby
    if sale.seconds < 0:
        return f"opens in {-sale.seconds:.0f} s   in the pre-queue {sale.venue.line.standing:,}"
    return (
        f"{sale.seconds:5.0f} s   serving number {lobby.serving:,}"
        f"   in line {sale.venue.line.standing:,}   inside {tally.inside:,}"
        f"   free {sale.venue.hall.free:,}   orders/s {_recent(sale):.0f}"
        f"   sold {tally.sold.total():,} of {tally.capacity:,}"
    )


@contextmanager
def watching(sale: Sale, console: Console) -> Iterator[Tick]:
    """Give the function that shows how the sale stands."""
    if not console.is_terminal:
        yield _lines(console)
        console.print(_line(sale), soft_wrap=True)
        return
    progress = Progress(
        TextColumn("{task.description}"), BarColumn(bar_width=40), MofNCompleteColumn()
    )
    bars: dict[str, TaskID] = {
        pool: progress.add_task(pool, total=capacity)
        for pool, capacity in sale.venue.hall.capacity.items()
    }
    status = Text()
    with Live(Group(progress, status), console=console, refresh_per_second=4):

        def tick(sale: Sale) -> None:
            sold = dict.fromkeys(bars, 0)
            for code, count in sale.venue.tally.sold.items():
                sold[sale.venue.hall.kinds[code].pool] += count
            for pool, bar in bars.items():
                progress.update(bar, completed=sold[pool])
            status.plain = _line(sale)

        yield tick


def _lines(console: Console) -> Tick:
    next_at = -math.inf

    def tick(sale: Sale) -> None:
        nonlocal next_at
        if sale.seconds >= next_at:
            next_at = (sale.seconds // _LINE_S + 1) * _LINE_S
            console.print(_line(sale), soft_wrap=True)

    return tick
