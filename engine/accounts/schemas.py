"""What is asked and answered about who a buyer is."""

from __future__ import annotations

import msgspec

from engine.platform.http.schemas import Id, Moment
from engine.sale.requests import Email, checked_email


class GuestRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A guest, by e-mail address if the buyer gave one."""

    email: Email | None = None

    def __post_init__(self) -> None:
        if self.email is not None:
            self.email = checked_email(self.email)


class GuestView(msgspec.Struct, kw_only=True):
    """``token`` goes into ``Authorization: Bearer ...``; whoever has it is this buyer."""

    token: str
    buyer: Id
    expires_at: Moment
    expires_in_ms: int
