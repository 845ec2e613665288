"""All that the buyers of a demo share."""

from __future__ import annotations

from dataclasses import dataclass

import aiohttp

from engine.embedded.demo.hall import Hall
from engine.embedded.demo.line_tally import LineTally
from engine.embedded.demo.lobby import Lobby
from engine.embedded.demo.shop import Shop
from engine.embedded.demo.tally import Tally
from engine.embedded.demo.till import Till


@dataclass(frozen=True, slots=True, kw_only=True)
class Venue:
    """``sockets``: makes connections to the live line, apart from requests."""

    shop: Shop
    till: Till
    hall: Hall
    lobby: Lobby
    sockets: aiohttp.ClientSession
    tally: Tally
    line: LineTally
