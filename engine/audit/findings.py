"""What an audit finds, and what it says about an occurrence."""

from __future__ import annotations

import msgspec

LISTED_MAX = 100  # findings of one check that are named; the rest is only counted


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that does not agree. ``subject``: what, by id or name; ``detail``: a sentence."""

    subject: str
    detail: str


class Check(msgspec.Struct, kw_only=True):
    """One comparison. ``examined``: how many things; ``failed``: how many do not agree.

    ``skipped``: why it could not be made, empty when it was.
    """

    name: str
    examined: int = 0
    failed: int = 0
    skipped: str = ""
    findings: list[Finding] = []

    def fail(self, subject: str, detail: str) -> None:
        """Note something that does not agree."""
        self.failed += 1
        if len(self.findings) < LISTED_MAX:
            self.findings.append(Finding(subject=subject, detail=detail))


class Report(msgspec.Struct, kw_only=True):
    """The audit of one occurrence. Amounts are minor units of ``currency``."""

    occurrence: str
    event: str = ""
    currency: str = ""
    orders: int = 0
    tickets: int = 0
    queue_events: int = 0  # what happened in its waiting room; not compared with anything
    captured: int = 0
    refunded: int = 0
    owed: int = 0  # to be given back, or on its way
    withdrawn: int = 0  # by disputes that are open or lost
    in_flight: int = 0  # records of the shard that PostgreSQL does not have yet
    checks: list[Check] = []

    @property
    def ok(self) -> bool:
        """Whether everything agrees."""
        return not any(check.failed for check in self.checks)

    def confirmed_by(self, later: Report) -> Report:
        """Return ``later`` without what this, earlier, report did not find too.

        A sale goes on while it is read, so a difference counts when it is
        there at two looks.
        """
        before = {check.name: {f.subject for f in check.findings} for check in self.checks}
        for check in later.checks:
            known = before.get(check.name, set())
            kept = [finding for finding in check.findings if finding.subject in known]
            check.failed -= len(check.findings) - len(kept)
            check.findings = kept
        return later
