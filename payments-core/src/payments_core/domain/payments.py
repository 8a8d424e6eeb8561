"""A payment, as the services agree on it."""

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
# Between a tenant's name and the account's, which cannot hold one. It needs no escape in a URL.
TENANT_SEPARATOR = "~"
TENANT_PATTERN = r"[a-z0-9][a-z0-9-]{0,31}"
STORED_ACCOUNT_ID_PATTERN = rf"^({TENANT_PATTERN}~)?[A-Za-z0-9_][A-Za-z0-9_.:@+-]{{0,127}}$"
DESCRIPTION_MAX_CHARS = 500
IDEMPOTENCY_KEY_MAX_CHARS = 255

_quoted: Callable[[str], str] = json.encoder.encode_basestring

_ACCOUNT_ID = re.compile(ACCOUNT_ID_PATTERN.replace("$", r"\Z"))
_STORED_ACCOUNT_ID = re.compile(STORED_ACCOUNT_ID_PATTERN.replace("$", r"\Z"))


def is_account_id(text: str) -> bool:
    """Whether the text can name an account, the system's own ones included."""
    return _ACCOUNT_ID.match(text) is not None


def is_stored_account_id(text: str) -> bool:
    """The same as who sees all tenants names an account: a tenant's is `acme~acc_42`."""
    return _STORED_ACCOUNT_ID.match(text) is not None


def is_system_account(account_id: str) -> bool:
    """Whether the account is the system's own, which no client may pay into."""
    return account_id.lower().startswith(SYSTEM_ACCOUNT_PREFIX)


@lru_cache(maxsize=64)  # All payments of one statement have one time.
def utc_text(at: datetime) -> str:
    """A time as the API writes it: RFC 3339, UTC, microseconds."""
    # Not strftime: its %Y writes the year 999 with three digits.
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def first_id_at(moment: datetime, skew: timedelta = timedelta()) -> UUID:
    """The smallest UUIDv7 of that moment (RFC 9562: 48 bits of milliseconds come first).

    The skew is added as a number: datetime itself ends with the years 1 and 9999.
    """
    milliseconds = int((moment.timestamp() + skew.total_seconds()) * 1000)
    return UUID(int=min(max(milliseconds, 0), 2**48 - 1) << 80)


@dataclass(frozen=True, slots=True)
class NewPayment:
    """What a client asks for, checked and normalised: amount has the currency's decimals."""

    idempotency_key: str
    account_id: str
    amount: Decimal
    currency: str
    description: str

    def fingerprint(self) -> bytes:
        """SHA-256 of the normalised body: 100 and "100.00" are the same request.

        The separator cannot stand in the first three fields, so no two bodies collide.
        The auditor computes the same in SQL from the stored row.
        """
        amount = amount_text(self.amount)
        text = "\x1f".join((self.account_id, amount, self.currency, self.description))
        return hashlib.sha256(text.encode()).digest()

    def asks_for(self, payment: "CreatedPayment") -> bool:
        """Whether the payment is what the client asks for, whatever its decimals."""
        return (self.account_id, self.amount, self.currency, self.description) == (
            payment.account_id,
            payment.amount,
            payment.currency,
            payment.description,
        )


@dataclass(frozen=True, slots=True)
class CreatedPayment:
    """What a client is answered, today and at every replay: the payment as it was made."""

    id: UUID
    account_id: str
    amount: Decimal
    currency: str
    description: str
    created_at: datetime

    def json_text(self, account_id: str) -> str:
        """The 201 answer; a replay gives the same bytes, whatever became of the payment.

        `account_id` is the account as the reader knows it. Written by hand: of all these texts
        only the description can hold what JSON escapes, and dict and encoder take twice as long.
        """
        return (
            f'{{"id": "{self.id}", "accountId": "{account_id}",'
            f' "amount": "{amount_text(self.amount)}",'
            f' "currency": "{self.currency}", "description": {_quoted(self.description)},'
            f' "status": "{PENDING}", "createdAt": "{utc_text(self.created_at)}"}}'
        )
