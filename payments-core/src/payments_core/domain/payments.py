"""Payments: accounts, identifiers, fingerprints and the answer to a creation."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
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
# The characters of an ISO 20022 EndToEndId that every bank accepts. It has 1 to 35 of them, no
# slash or space at an end, and no two slashes in a row, which SWIFT reads as a separator.
REFERENCE_PATTERN = r"^[A-Za-z0-9?:().,'+-]([A-Za-z0-9/?:().,'+ -]{0,33}[A-Za-z0-9?:().,'+-])?$"
REFERENCE_MAX_CHARS = 35
METADATA_KEYS_MAX = 20
METADATA_KEY_MAX_CHARS = 40
METADATA_VALUE_MAX_CHARS = 200
METADATA_MAX_BYTES = 4096
NO_METADATA = "{}"
# The channel through which the money arrives, such as a bank account or a payment provider; also
# the name of a source of statements.
SOURCE_PATTERN = "^[a-z0-9][a-z0-9-]{0,31}$"
DEFAULT_SOURCE = "default"

_quoted: Callable[[str], str] = json.encoder.encode_basestring

_ACCOUNT_ID = re.compile(ACCOUNT_ID_PATTERN.replace("$", r"\Z"))
_IDEMPOTENCY_KEY = re.compile(rf"[!-~]{{1,{IDEMPOTENCY_KEY_MAX_CHARS}}}\Z")
_REFERENCE = re.compile(REFERENCE_PATTERN.replace("$", r"\Z"))
_SOURCE = re.compile(SOURCE_PATTERN.replace("$", r"\Z"))
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


def is_idempotency_key(text: str) -> bool:
    """Return whether the text is a valid idempotency key, as clients send it."""
    return _IDEMPOTENCY_KEY.match(text) is not None


def is_reference(text: str) -> bool:
    """Return whether the text is a valid reference of a payment."""
    return _REFERENCE.match(text) is not None and "//" not in text


def is_source(text: str) -> bool:
    """Return whether the text is a valid source of payments or of statements."""
    return _SOURCE.match(text) is not None


def metadata_text(metadata: Mapping[str, str]) -> str:
    """Return the metadata as Postgres writes its jsonb: equal metadata has one text.

    Answers, the fingerprint and the auditor's SQL use this text. Shorter keys come first.
    """
    items = sorted((len(key.encode()), key.encode(), key) for key in metadata)
    pairs = ", ".join([f"{_quoted(key)}: {_quoted(metadata[key])}" for *_, key in items])
    return f"{{{pairs}}}"


@lru_cache(maxsize=64)  # All payments of one statement share a time.
def utc_text(at: datetime) -> str:
    """Return the time as the API writes it: RFC 3339, UTC, microseconds."""
    # asyncpg reads Postgres' infinities as the ends of datetime, without a zone.
    utc = at if at.tzinfo is None else at.astimezone(UTC)
    # Not strftime: its %Y writes the year 999 with three digits.
    return utc.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def time_or_none(at: datetime | None) -> str | None:
    """Return the time as the API writes it, or None."""
    return None if at is None else utc_text(at)


@dataclass(frozen=True, slots=True)
class NewPayment:
    """A checked, normalised request for a payment: the amount has the currency's decimals."""

    idempotency_key: str
    account_id: str
    amount: Decimal
    currency: str
    description: str
    reference: str | None = None
    metadata: str = NO_METADATA  # As metadata_text() writes it.
    source: str = DEFAULT_SOURCE

    def fingerprint(self) -> bytes:
        """Return the SHA-256 of the normalised body: 100 and "100.00" are the same request.

        Only the description, the last field, can contain the separator, so two bodies never
        collide. A body without reference, metadata and source has the fingerprint of releases
        that knew none of them; with one of them the text begins with a separator, which no
        account id does. The auditor computes the same in SQL from the stored row.
        """
        amount = amount_text(self.amount)
        fields = [self.account_id, amount, self.currency]
        if self.reference or self.metadata != NO_METADATA or self.source != DEFAULT_SOURCE:
            fields = ["", *fields, self.source, self.reference or "", self.metadata]
        text = "\x1f".join((*fields, self.description))
        return hashlib.sha256(text.encode()).digest()

    def asks_for(self, payment: "CreatedPayment") -> bool:
        """Return whether the payment matches the client's request, in any number of decimals."""
        return _body(self) == _body(payment)


@dataclass(frozen=True, slots=True)
class CreatedPayment:
    """The payment as it was created: the answer to its request and to every replay."""

    id: UUID
    account_id: str
    amount: Decimal
    currency: str
    description: str
    created_at: datetime
    reference: str | None = None
    metadata: str = NO_METADATA
    source: str = DEFAULT_SOURCE

    def json_text(self, account_id: str) -> str:
        """Return the body of the 201 answer; a replay returns the same bytes.

        `account_id` is the account as the reader knows it. Written by hand: of all these texts
        only the description can hold what JSON escapes, the metadata is JSON already, and dict
        and encoder take twice as long.
        """
        reference = "null" if self.reference is None else f'"{self.reference}"'
        return (
            f'{{"id": "{self.id}", "accountId": "{account_id}",'
            f' "amount": "{amount_text(self.amount)}",'
            f' "currency": "{self.currency}", "description": {_quoted(self.description)},'
            f' "reference": {reference}, "metadata": {self.metadata}, "source": "{self.source}",'
            f' "status": "{PENDING}", "createdAt": "{utc_text(self.created_at)}"}}'
        )


def _body(payment: NewPayment | CreatedPayment) -> tuple[object, ...]:
    """Return the fields of a creation's body, normalised."""
    return (
        payment.account_id,
        payment.amount,
        payment.currency,
        payment.description,
        payment.reference,
        payment.metadata,
        payment.source,
    )
