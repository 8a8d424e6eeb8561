"""The formats of a seal, byte by byte, as docs/decisions/0024-tamper-evidence.md describes them.

A seal covers a range of ledger entries and, from format 2, a range of reconciliation results, each
with its payment: this includes failed payments, which have no entries. A format never changes; a
new table or column needs a new format.

Postgres hashes the rows, because fetching and hashing them in Python takes seven times as long.
Python hashes the seals.
"""

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg

FORMAT_VERSION = 4
KEY_BYTES_MIN = 32
DIGEST_BYTES = 8  # Of each row's hash, stored to identify the row; the whole hash is sealed.

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_ENTRY_COLUMNS_2 = (
    "id",
    "payment_id",
    "account_id",
    "currency",
    "entry_type",
    "direction",
    "amount",
    "account_seq",
    "balance_after",
    "created_at",
)
ENTRY_COLUMNS = (*_ENTRY_COLUMNS_2, "reversal_id", "posting_kind")
_RESULT_COLUMNS_2 = (
    "id",
    "payment_id",
    "recon_job_id",
    "status",
    "matched",
    "discrepancy_amount",
    "notes",
    "rule_version",
    "created_at",
)
RESULT_COLUMNS = (*_RESULT_COLUMNS_2, "reversal_id")
# A settled payment never changes, so every column is sealed. Format 2 knows no more than these.
_PAYMENT_COLUMNS_2 = (
    "id",
    "idempotency_key",
    "request_fingerprint",
    "account_id",
    "amount",
    "currency",
    "description",
    "status",
    "traceparent",
    "created_at",
    "updated_at",
    "settled_at",
)
PAYMENT_COLUMNS = (*_PAYMENT_COLUMNS_2, "reference", "metadata", "source")
REVERSAL_COLUMNS = (
    "id",
    "idempotency_key",
    "request_fingerprint",
    "payment_id",
    "account_id",
    "currency",
    "source",
    "amount",
    "reason",
    "reference",
    "metadata",
    "status",
    "traceparent",
    "created_at",
    "updated_at",
    "settled_at",
)


def _sql_field(value: str) -> str:
    return f"coalesce(octet_length({value}) || ':' || {value} || ',', '-,')"


def _text_hash(kind: str, fields: Sequence[str]) -> str:
    """Return format 1's hash, of text fields: `LENGTH:VALUE,` in UTF-8 bytes, `-,` for NULL."""
    text = " || ".join((f"'{len(kind)}:{kind},1:1,'", *map(_sql_field, fields)))
    return f"sha256(convert_to({text}, 'UTF8'))"


def _row_hash(version: int, kind: str, columns: Iterable[str]) -> str:
    """Return the hash since format 2, of Postgres' binary row: twice as fast as text."""
    return f"sha256(record_send(ROW ('{kind}'::text, {version}, {', '.join(columns)})))"


# Numbers have no trailing zeros and times are microseconds since 1970, so that no setting of the
# session changes them.
_ENTRY_TEXTS = (
    "id::text",
    "payment_id::text",
    "account_id",
    "currency",
    "entry_type",
    "direction",
    "trim_scale(amount)::text",
    "account_seq::text",
    "trim_scale(balance_after)::text",
    "trim_scale(extract(epoch FROM created_at) * 1000000)::text",
)


def _results(version: int, payment_columns: Sequence[str]) -> str:
    """Return the query for the results, each hashed with its payment."""
    fields = (
        *(f"result.{column}" for column in _RESULT_COLUMNS_2),
        *(f"payment.{column}" for column in payment_columns),
    )
    return f"""
    SELECT result.id, result.payment_id, {_row_hash(version, "result", fields)} AS hash
    FROM reconciliation_results AS result LEFT JOIN LATERAL (
        SELECT * FROM payments WHERE payments.id = result.payment_id OFFSET 0
    ) AS payment ON true
    WHERE result.id"""


# Queries for (id, payment_id, hash) by format, to which a condition on the id is appended.
# OFFSET 0 makes Postgres look up each payment by its key, whatever number of results a generic plan
# expects.
ENTRIES = {
    version: f"SELECT id, payment_id, {hashed} AS hash FROM ledger_entries WHERE id"
    for version, hashed in (
        (1, _text_hash("entry", _ENTRY_TEXTS)),
        (2, _row_hash(2, "entry", _ENTRY_COLUMNS_2)),
        (3, _row_hash(3, "entry", _ENTRY_COLUMNS_2)),
        (4, _row_hash(4, "entry", ENTRY_COLUMNS)),
    )
}
_RESULT_FIELDS_4 = (
    *(f"result.{column}" for column in RESULT_COLUMNS),
    *(f"payment.{column}" for column in PAYMENT_COLUMNS),
    *(f"reversal.{column}" for column in REVERSAL_COLUMNS),
)
# Each result is of a payment or of a reversal; the other one's fields are NULL.
_RESULTS_4 = f"""
    SELECT result.id, coalesce(result.payment_id, reversal.payment_id) AS payment_id,
           {_row_hash(4, "result", _RESULT_FIELDS_4)} AS hash
    FROM reconciliation_results AS result LEFT JOIN LATERAL (
        SELECT * FROM payments WHERE payments.id = result.payment_id OFFSET 0
    ) AS payment ON true LEFT JOIN LATERAL (
        SELECT * FROM reversals WHERE reversals.id = result.reversal_id OFFSET 0
    ) AS reversal ON true
    WHERE result.id"""
RESULTS = {
    2: _results(2, _PAYMENT_COLUMNS_2),
    3: _results(3, PAYMENT_COLUMNS),
    4: _RESULTS_4,
}

# What a seal stores of its rows, selected from (id, hash).
SUMMARY = f"""
    count(*)::int AS rows,
    max(id) AS last_id,
    coalesce(range_agg(int8range(id, id, '[]')), '{{}}') AS ids,
    sha256(coalesce(string_agg(hash, NULL ORDER BY id), '')) AS hash,
    coalesce(string_agg(substr(hash, 1, {DIGEST_BYTES}), NULL ORDER BY id), '') AS digests"""


@dataclass(frozen=True, slots=True)
class Head:
    """The last seal's number and hash, and the last ids that the chain covers."""

    seq: int
    seal_hash: bytes
    to_entry_id: int
    to_result_id: int


# The head of an empty chain. Ids begin at 1.
GENESIS = Head(0, bytes(32), 0, 0)


@dataclass(frozen=True, slots=True)
class SealedRange:
    """The rows of one table in a seal; `ids` are [first, last] runs, separated by gaps."""

    from_id: int
    to_id: int
    count: int
    ids: tuple[tuple[int, int], ...]
    rows_hash: bytes
    digests_hash: bytes

    def fields(self) -> tuple[str, ...]:
        """Return the range's fields of the seal's record."""
        return (
            str(self.from_id),
            str(self.to_id),
            str(self.count),
            ",".join(f"{first}-{last}" for first, last in self.ids),
            self.rows_hash.hex(),
            self.digests_hash.hex(),
        )


@dataclass(frozen=True, slots=True)
class Seal:
    """One row of ledger_seals, with a hash in place of its digests; format 1 has no `results`."""

    seq: int
    format_version: int
    entries: SealedRange
    results: SealedRange | None
    previous_hash: bytes
    sealed_at: datetime

    def hash(self) -> bytes:
        """Return the expected `seal_hash`: SHA-256 over all other fields and the previous hash."""
        return hashlib.sha256(
            record_text(
                "seal",
                str(self.format_version),
                str(self.seq),
                *self.entries.fields(),
                *(self.results.fields() if self.results else ()),
                self.previous_hash.hex(),
                str(microseconds(self.sealed_at)),
            ).encode()
        ).digest()

    def head(self, before: Head) -> Head:
        """Return the chain's head after this seal; `before` is the head before it."""
        to_result_id = self.results.to_id if self.results else before.to_result_id
        return Head(self.seq, self.hash(), self.entries.to_id, to_result_id)


def record_text(*fields: str | None) -> str:
    """Return the fields as one text that is unique to them."""
    return "".join("-," if field is None else f"{len(field.encode())}:{field}," for field in fields)


def microseconds(at: datetime) -> int:
    """Return the exact number of microseconds since 1970 in UTC."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def runs_of(ids: Iterable["asyncpg.Range[int]"]) -> tuple[tuple[int, int], ...]:
    """Convert asyncpg's multirange to runs of ids that include both ends.

    Postgres normalises such ranges to [first, last + 1). The sealer never writes an unbounded
    range; one becomes a run that no seal has.
    """
    return tuple((run.lower or 0, (run.upper or 0) - 1) for run in ids)


def mac_of(key: bytes, seal_hash: bytes) -> bytes:
    """Return the HMAC-SHA256 under a key that is not in the database."""
    return hmac.digest(key, seal_hash, "sha256")


def is_signed(mac: bytes | None, seal_hash: bytes, keys: Sequence[bytes]) -> bool:
    """Return whether one of the keys made the MAC."""
    return mac is not None and any(hmac.compare_digest(mac, mac_of(k, seal_hash)) for k in keys)


def read_keys(path: Path | None) -> tuple[bytes, ...]:
    """Return the keys in the file, one per line: the first signs, the others made earlier MACs.

    Raises ValueError if there is no key or one is too short, OSError if the file is unreadable.
    """
    if path is None:
        return ()
    keys = tuple(line.strip().encode() for line in path.read_text().splitlines() if line.strip())
    if not keys or any(len(key) < KEY_BYTES_MIN for key in keys):
        raise ValueError(
            f"{path} must have one key per line, each of {KEY_BYTES_MIN} characters or more;"
            " make one with: openssl rand -hex 32"
        )
    return keys
