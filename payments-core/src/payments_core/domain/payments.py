"""Payments: accounts, identifiers, fingerprints and the answer to a creation."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from uuid import UUID

from payments_core.domain.money import amount_text
from payments_core.domain.statuses import PENDING

SYSTEM_ACCOUNT_PREFIX = "sys:"
CLEARING_ACCOUNT_PREFIX = "sys:clearing:"
ACCOUNT_ID_MAX_CHARS = 128
ACCOUNT_ID_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_.:@+-]{0,127}$"
# Separates tenant and account, whose names cannot contain it. Needs no escape in a URL.
TENANT_SEPARATOR = "~"
TENANT_PATTERN = r"[a-z0-9][a-z0-9-]{0,31}"
STORED_ACCOUNT_ID_PATTERN = rf"^({TENANT_PATTERN}~)?[A-Za-z0-9_][A-Za-z0-9_.:@+-]{{0,127}}$"
DESCRIPTION_MAX_CHARS = 500
IDEMPOTENCY_KEY_MAX_CHARS = 255

_quoted: Callable[[str], str] = json.encoder.encode_basestring

_ACCOUNT_ID = re.compile(ACCOUNT_ID_PATTERN.replace("$", r"\Z"))
_STORED_ACCOUNT_ID = re.compile(STORED_ACCOUNT_ID_PATTERN.replace("$", r"\Z"))


def is_account_id(text: str) -> bool:
    """Return whether the text is a valid account name, system accounts included."""
    return _ACCOUNT_ID.match(text) is not None


def is_stored_account_id(text: str) -> bool:
    """Return whether the text is a valid stored account name, such as a tenant's `acme~acc_42`."""
    return _STORED_ACCOUNT_ID.match(text) is not None


def is_system_account(account_id: str) -> bool:
    """Return whether this is a system account, which no client may pay into."""
    return account_id.lower().startswith(SYSTEM_ACCOUNT_PREFIX)


@lru_cache(maxsize=64)  # All payments of one statement share a time.
def utc_text(at: datetime) -> str:
    """Return the time as the API writes it: RFC 3339, UTC, microseconds."""
    # Not strftime: its %Y writes the year 999 with three digits.
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def first_id_at(moment: datetime, skew: timedelta = timedelta()) -> UUID:
    """Return the smallest UUIDv7 of that moment (RFC 9562: 48 bits of milliseconds come first).

    The skew is added as a number, because datetime ends with the years 1 and 9999.
    """
    milliseconds = int((moment.timestamp() + skew.total_seconds()) * 1000)
    return UUID(int=min(max(milliseconds, 0), 2**48 - 1) << 80)


@dataclass(frozen=True, slots=True)
class NewPayment:
    """A checked, normalised request for a payment: the amount has the currency's decimals."""

    idempotency_key: str
    account_id: str
    amount: Decimal
    currency: str
    description: str

    def fingerprint(self) -> bytes:
        """Return the SHA-256 of the normalised body: 100 and "100.00" are the same request.

        The separator cannot occur in the first three fields, so two bodies never collide.
        The auditor computes the same in SQL from the stored row.
        """
        amount = amount_text(self.amount)
        text = "\x1f".join((self.account_id, amount, self.currency, self.description))
        return hashlib.sha256(text.encode()).digest()

    def asks_for(self, payment: "CreatedPayment") -> bool:
        """Return whether the payment matches the client's request, in any number of decimals."""
        return (self.account_id, self.amount, self.currency, self.description) == (
            payment.account_id,
            payment.amount,
            payment.currency,
            payment.description,
        )


@dataclass(frozen=True, slots=True)
class CreatedPayment:
    """The payment as it was created: the answer to its request and to every replay."""

    id: UUID
    account_id: str
    amount: Decimal
    currency: str
    description: str
    created_at: datetime

    def json_text(self, account_id: str) -> str:
        """Return the body of the 201 answer; a replay returns the same bytes.

        `account_id` is the account as the reader knows it. Written by hand: of all these texts
        only the description can hold what JSON escapes, and dict and encoder take twice as long.
        """
        return (
            f'{{"id": "{self.id}", "accountId": "{account_id}",'
            f' "amount": "{amount_text(self.amount)}",'
            f' "currency": "{self.currency}", "description": {_quoted(self.description)},'
            f' "status": "{PENDING}", "createdAt": "{utc_text(self.created_at)}"}}'
        )
