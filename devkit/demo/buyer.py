"""One buyer, from the line to tickets, or to the end of the sale."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from typing import Any

from devkit.demo.hall import Kind
from devkit.demo.line import InLine
from devkit.demo.personas import Persona
from devkit.demo.shop import RefusedError
from devkit.demo.tally import Purchase
from devkit.demo.till import BAD_CARDS, BANK_DEBIT, CHALLENGED_CARD, good_card
from devkit.demo.venue import Venue

Json = dict[str, Any]

_TRIES = 3  # in one go, with other seats each time
_LOOK_AGAIN_S = (0.3, 1.0)
_PATIENCE_S = (1.5, 4.0)  # inside, with nothing to be had; then somebody else may come
_THINK_S = (0.1, 1.5)
_POLL_S = 0.15  # how often a paid order is looked at
_ASK_AFTER_S = 3.0  # without a message of the provider, the buyer's client asks the shop to look
_CONFIRM_S_MAX = 60.0


class Buyer:
    """Plays a persona. Whoever had to wait for long pays plainly: they are glad of a ticket."""

    def __init__(self, persona: Persona, venue: Venue) -> None:
        self._persona = persona
        self._venue = venue
        self._shop = venue.shop
        self._till = venue.till
        self._hall = venue.hall
        self._tally = venue.tally
        self._rng = random.Random(persona.seed)  # noqa: S311 - a play, not a secret
        self._token = ""
        self._glad = False

    async def run(self) -> None:
        """Come, stand in line, try, buy or not, go."""
        await self._pause(self._venue.lobby.opens_in_s + self._persona.arrives_s)
        if self._tally.over.is_set():
            return
        guest = await self._shop.guest()
        self._token = guest.token
        line = InLine(self._persona, guest, self._venue)
        while await line.get_in():
            self._glad = line.glad
            self._tally.inside += 1
            try:
                if await self._inside(line):
                    return
            except RefusedError as error:
                if error.code != "not_inside":
                    raise
                self._tally.counts["took too long inside"] += 1
            finally:
                self._tally.inside -= 1

    # Finding something

    async def _inside(self, line: InLine) -> bool:
        """Look for tickets, and buy them. Returns whether the buyer is done."""
        gives_up_at = time.perf_counter() + self._rng.uniform(*_PATIENCE_S)
        while not self._tally.over.is_set():
            hold = await self._hold()
            if hold is not None:
                if await self._shop_with(hold):
                    return True
            elif time.perf_counter() > gives_up_at:
                self._tally.counts["found nothing inside"] += 1
                await line.leave()
                return False
            else:
                await self._pause(self._rng.uniform(*_LOOK_AGAIN_S))
        return True

    async def _hold(self) -> Json | None:
        for _ in range(_TRIES):
            line = self._line()
            if line is None:
                return None
            try:
                return await self._shop.hold(self._token, line)
            except RefusedError as error:
                if error.code not in {"sold_out", "lines_unavailable"}:
                    raise
                self._tally.counts["was too slow"] += 1
        return None

    def _line(self) -> Json | None:
        """Return what to ask for: as the persona likes it, or whatever there is."""
        count, way = self._persona.count, self._persona.way
        available = self._hall.available()
        if way == "standing" or self._glad:
            general = [kind for kind in available if not kind.seats]
            if general:
                return self._quantity(self._rng.choice(general), count)
        if way == "best" and not self._glad:
            seats = [kind for kind in available if kind.seats]
            if seats:
                return self._quantity(self._rng.choice(seats), count)
        chosen = self._hall.choose(self._rng, count)
        if chosen is not None:
            kind, guids = chosen
            return {"ticket_type": kind.code, "seats": guids}
        if available:
            return self._quantity(self._rng.choice(available), count)
        return None

    def _quantity(self, kind: Kind, count: int) -> Json:
        line: Json = {
            "ticket_type": kind.code,
            "quantity": max(1, min(count, kind.free, kind.max_per_order)),
        }
        return {**line, "allow_split": True} if kind.seats else line

    # Buying it

    async def _shop_with(self, hold: Json) -> bool:
        """Go on with a hold. Returns whether the buyer is done."""
        ending = "pays" if self._glad else self._persona.ending
        await asyncio.sleep(self._rng.uniform(*_THINK_S))
        if ending == "releases":
            await self._shop.release(self._token, hold["id"])
            await self._shop.leave(self._token)
            self._tally.counts["gave it back"] += 1
            return True
        if ending == "walks_away":
            self._tally.counts["walked away"] += 1
            return True
        try:
            checkout = await self._check_out(hold, twice=ending == "pays_twice")
        except RefusedError as error:
            if error.code != "hold_ended":
                raise
            self._tally.counts["hold ran out"] += 1
            return False
        order, payment = checkout["order"], checkout["payment"]
        purchase = Purchase(
            order=order["id"],
            buyer=self._persona.name,
            total=order["total"],
            tickets=sum(line["quantity"] for line in order["lines"]),
            late=ending in {"pays_late", "bank_late"},
            twice=ending == "pays_twice",
        )
        self._tally.purchases[purchase.order] = purchase
        if ending == "never_pays":
            self._tally.counts["did not pay"] += 1
            return True
        return await self._pay(purchase, payment, order["pay_in_ms"] / 1000, ending)

    async def _check_out(self, hold: Json, *, twice: bool) -> Json:
        name = self._persona.name
        if not twice:
            return await self._shop.check_out(self._token, hold["id"], name)
        first, second = await asyncio.gather(
            self._shop.check_out(self._token, hold["id"], name),
            self._shop.check_out(self._token, hold["id"], name),
        )
        if first["order"]["id"] != second["order"]["id"]:
            self._tally.broken.append(f"{name} checked out once more and has two orders")
        return first

    async def _pay(self, purchase: Purchase, payment: Json, pay_in_s: float, ending: str) -> bool:
        card = CHALLENGED_CARD if self._persona.challenged else good_card(self._rng)
        if ending in {"declined", "gives_up"}:
            await self._till.pay(payment, self._rng.choice(BAD_CARDS))
            self._tally.counts["declined"] += 1
            await asyncio.sleep(self._rng.uniform(*_THINK_S))
            if ending == "gives_up":
                return await self._cancel(purchase)
        if ending == "pays_late":
            await asyncio.sleep(max(pay_in_s + self._rng.uniform(-0.3, 0.7), 0))
        if ending == "bank_late":
            status = await self._till.pay(payment, BANK_DEBIT)
            await asyncio.sleep(pay_in_s + self._rng.uniform(1.0, 3.0))
            await self._till.settle()
            status = "succeeded" if status == "processing" else status
        elif ending == "pays_twice":
            statuses = await asyncio.gather(
                self._till.pay(payment, card), self._till.pay(payment, good_card(self._rng))
            )
            status = max(statuses, key="succeeded".__eq__)
        else:
            status = await self._till.pay(payment, card)
        if status != "succeeded":
            self._tally.counts["came too late to pay"] += 1
            return True
        if card == CHALLENGED_CARD and ending != "bank_late":
            self._tally.counts["3-D Secure"] += 1
        purchase.paid, purchase.paid_at = True, time.perf_counter()
        await self._see_confirmed(purchase)
        return True

    async def _cancel(self, purchase: Purchase) -> bool:
        self._tally.counts["gave up"] += 1
        with contextlib.suppress(RefusedError):  # it has just run out by itself
            purchase.state = (await self._shop.cancel(self._token, purchase.order))["state"]
        return True

    async def _see_confirmed(self, purchase: Purchase) -> None:
        """Look at the order until it has come to its end."""
        asked = False
        while (waited := time.perf_counter() - purchase.paid_at) < _CONFIRM_S_MAX:
            order = await self._shop.order(self._token, purchase.order)
            purchase.state = order["state"]
            if order["state"] == "confirmed":
                self._tally.confirmed(purchase, order)
                return
            if order["state"] == "refunded" or (
                order["state"] == "cancelled" and order["refund_due"]
            ):
                self._tally.counts["refunded"] += 1
                return
            if waited > _ASK_AFTER_S and not asked:
                asked = True
                await self._shop.settle(self._token, purchase.order)
            await asyncio.sleep(_POLL_S)

    async def _pause(self, seconds: float) -> None:
        """Sleep, at most until it is over."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._tally.over.wait(), seconds)
