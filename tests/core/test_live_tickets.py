"""Tickets for live connections: bound, short, and not to be made by anybody else."""

from __future__ import annotations

import base64

import pytest

from engine.core.errors import UnauthorizedError
from engine.core.ids import new_id
from engine.platform.http.websocket.tickets import TICKET_TTL_S, LiveTickets

SECRET = "a secret of at least thirty-two characters"
BUYER, OCCURRENCE = new_id(), new_id()


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tickets(clock: Clock) -> LiveTickets:
    return LiveTickets(SECRET, clock=clock)


def test_a_ticket_says_whose_it_is(tickets: LiveTickets) -> None:
    found = tickets.check(tickets.issue(BUYER, OCCURRENCE), OCCURRENCE)
    assert found.buyer == BUYER
    assert len(found.used) == 16


def test_every_ticket_is_another(tickets: LiveTickets) -> None:
    issued = {tickets.issue(BUYER, OCCURRENCE) for _ in range(50)}
    assert len({tickets.check(ticket, OCCURRENCE).used for ticket in issued}) == 50


def test_a_ticket_is_for_one_line(tickets: LiveTickets) -> None:
    with pytest.raises(UnauthorizedError):
        tickets.check(tickets.issue(BUYER, OCCURRENCE), new_id())


def test_a_ticket_expires(tickets: LiveTickets, clock: Clock) -> None:
    ticket = tickets.issue(BUYER, OCCURRENCE)
    clock.now += TICKET_TTL_S - 0.01
    tickets.check(ticket, OCCURRENCE)
    clock.now += 0.02
    with pytest.raises(UnauthorizedError, match="expired"):
        tickets.check(ticket, OCCURRENCE)


def test_a_ticket_of_a_clock_that_is_ahead_is_no_longer_ticket(clock: Clock) -> None:
    """Its use would be forgotten before it expires."""
    ahead = LiveTickets(SECRET, clock=lambda: clock.now + 3600)
    with pytest.raises(UnauthorizedError, match="expired"):
        LiveTickets(SECRET, clock=clock).check(ahead.issue(BUYER, OCCURRENCE), OCCURRENCE)


def test_another_secret_makes_no_tickets(tickets: LiveTickets, clock: Clock) -> None:
    other = LiveTickets(SECRET + "!", clock=clock)
    with pytest.raises(UnauthorizedError):
        tickets.check(other.issue(BUYER, OCCURRENCE), OCCURRENCE)


def test_not_a_bit_of_it_can_be_changed(tickets: LiveTickets) -> None:
    raw = base64.urlsafe_b64decode(tickets.issue(BUYER, OCCURRENCE))
    for at in range(len(raw)):
        changed = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        with pytest.raises(UnauthorizedError):
            tickets.check(base64.urlsafe_b64encode(changed).decode(), OCCURRENCE)


def test_another_spelling_of_a_ticket_is_the_same_ticket(tickets: LiveTickets) -> None:
    """The last character has two bits to spare; its use must count for all four spellings."""
    ticket = tickets.issue(BUYER, OCCURRENCE)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet.index(ticket[-2])
    spellings = {ticket[:-2] + alphabet[last & ~3 | spare] + "=" for spare in range(4)}
    used = set()
    for spelling in spellings:
        try:
            used.add(tickets.check(spelling, OCCURRENCE).used)
        except UnauthorizedError:
            continue
    assert len(used) == 1


@pytest.mark.parametrize(
    "ticket",
    ["", "x", "é" * 76, "A" * 76, "A" * 75 + "=", "=" * 76, "A" * 10_000, " " * 76, "\x00" * 76],
)
def test_what_is_no_ticket_is_refused(tickets: LiveTickets, ticket: str) -> None:
    with pytest.raises(UnauthorizedError):
        tickets.check(ticket, OCCURRENCE)
