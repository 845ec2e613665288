"""Buyers for locust, and people who are up to no good, on a running installation.

    python -m loadtest SCENARIO

makes an occurrence for them, sends them there, and checks the books afterwards.
To send some of them anywhere, without those checks (classes: see below):

    locust -f loadtest/locustfile.py --headless --occurrence ID -u 100 -r 20 -t 30s Buyer
"""

from __future__ import annotations

from argparse import ArgumentParser

from locust import events

from loadtest.users.buyer import Buyer
from loadtest.users.churner import Churner
from loadtest.users.intruder import Intruder
from loadtest.users.refresher import Refresher

__all__ = ["Buyer", "Churner", "Intruder", "Refresher"]


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator] # locust's events
def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--occurrence", required=True, help="What is sold: the id.")
