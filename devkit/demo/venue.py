"""All that the buyers of a demo share."""

from __future__ import annotations

from dataclasses import dataclass

import aiohttp

from devkit.demo.hall import Hall
from devkit.demo.line_tally import LineTally
from devkit.demo.lobby import Lobby
from devkit.demo.shop import Shop
from devkit.demo.tally import Tally
from devkit.demo.till import Till


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
