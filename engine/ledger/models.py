"""The ledger: append-only double entry, in minor units."""

from __future__ import annotations

import uuid

from sqlalchemy import BigInteger, CheckConstraint, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from engine.platform.postgres.base import Base, Moment

ACCOUNTS = (
    "provider_clearing",  # money that the payment provider holds for the platform
    "organizer_payable",  # what the organization is owed for its tickets
    "platform_fees",  # what the platform earned
    "payment_fees",  # what buyers paid towards the provider's charges
    "tax_payable",  # what is owed to the tax office
    "refunds",  # what is owed back to buyers
    "disputes",  # what buyers' banks have withdrawn
    "other_means",  # what was given back without the payment provider
)
_ACCOUNT_LIST = ", ".join(f"'{account}'" for account in ACCOUNTS)


class LedgerEntry(Base):
    """One side of a posting: ``amount`` above 0 is a debit, below 0 a credit.

    The entries of one posting (occurrence, order, posting) sum to zero. The
    posting is named after what happened and happens once to an order, so the
    key makes every repetition harmless: "sale" (confirmed and paid), "receipt"
    (captured for an order that cannot be honoured), "reversal" (a sale that is
    to be given back). What can happen again is named with the version of the
    order: "refund 4" (given back, or a refund that failed: a negative one),
    "dispute 5" (withdrawn, or brought back), "other_receipt 3" (captured by an
    intent that the order did not wait for), "elsewhere 6" (given back by other
    means than the provider).
    """

    __tablename__ = "ledger_entries"
    __table_args__ = (
        CheckConstraint(f"account IN ({_ACCOUNT_LIST})", name="account"),
        CheckConstraint("amount <> 0", name="amount"),
    )

    occurrence_id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    order_id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    posting: Mapped[str] = mapped_column(Text, primary_key=True)
    account: Mapped[str] = mapped_column(Text, primary_key=True)
    organization_id: Mapped[uuid.UUID]
    amount: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(Text)
    posted_at: Mapped[Moment]
