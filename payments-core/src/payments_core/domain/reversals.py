"""Reversals: fingerprints and the answer to a creation."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from payments_core.domain.money import amount_text
from payments_core.domain.payments import utc_text
from payments_core.domain.statuses import PENDING

REVERSAL_REASON_MAX_CHARS = 500


@dataclass(frozen=True, slots=True)
class NewReversal:
    """A checked request to reverse a payment; without an amount, its remainder."""

    idempotency_key: str
    payment_id: UUID
    amount: Decimal | None
    reason: str
    reference: str | None
    metadata: str

    def fingerprint(self) -> bytes:
        """Return the SHA-256 of the normalised request; the auditor computes it in SQL.

        Only the reason, the last field, can contain the separator.
        """
        amount = "" if self.amount is None else amount_text(self.amount)
        reference = self.reference or ""
        fields = ("reversal", str(self.payment_id), amount, reference, self.metadata, self.reason)
        return hashlib.sha256("\x1f".join(fields).encode()).digest()


@dataclass(frozen=True, slots=True)
class CreatedReversal:
    """The reversal as it was created: the answer to its request and to every replay."""

    id: UUID
    payment_id: UUID
    account_id: str
    amount: Decimal
    currency: str
    reason: str
    reference: str | None
    metadata: str
    created_at: datetime

    def json_text(self, account_id: str) -> str:
        """Return the body of the 201 answer; a replay returns the same bytes."""
        return json.dumps(
            {
                "id": str(self.id),
                "paymentId": str(self.payment_id),
                "accountId": account_id,
                "amount": amount_text(self.amount),
                "currency": self.currency,
                "reason": self.reason,
                "reference": self.reference,
                "metadata": json.loads(self.metadata),
                "status": PENDING,
                "createdAt": utc_text(self.created_at),
            },
            ensure_ascii=False,
        )
