"""The bytes that a seal hashes, format 1: docs/decisions/0024-tamper-evidence.md.

A record is a text of fields, each as `LENGTH:VALUE,` with the length in bytes of UTF-8 (which is
the database's encoding), or `-,` for NULL: no two different records have the same text. Entries
are hashed by Postgres, where they are: 5 microseconds each, where fetched and hashed in Python
it is 15. Seals are hashed here.
"""

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg

FORMAT_VERSION = 1
KEY_BYTES_MIN = 32
DIGEST_BYTES = 8  # Of each entry's hash, kept to name the entry; the whole hash is sealed.

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _sql_field(value: str) -> str:
    return f"coalesce(octet_length({value}) || ':' || {value} || ',', '-,')"


# Every column, in the table's order. Numbers without trailing zeros, times as microseconds
# since 1970: neither depends on a setting of the session.
_ENTRY_FIELDS = (
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
_ENTRY_TEXT = " || ".join((f"'5:entry,1:{FORMAT_VERSION},'", *map(_sql_field, _ENTRY_FIELDS)))
ENTRY_HASH = f"sha256(convert_to({_ENTRY_TEXT}, 'UTF8'))"

# Of rows (id, hash): what a seal keeps of its entries.
SUMMARY = f"""
    count(*)::int AS entry_count,
    max(id) AS last_id,
    coalesce(range_agg(int8range(id, id, '[]')), '{{}}') AS entry_ids,
    sha256(coalesce(string_agg(hash, NULL ORDER BY id), '')) AS entries_hash,
    coalesce(string_agg(substr(hash, 1, {DIGEST_BYTES}), NULL ORDER BY id), '') AS entry_digests"""


@dataclass(frozen=True, slots=True)
class Head:
    """The chain up to a seal: whoever kept one elsewhere can tell whether it was rewritten."""

    seq: int
    seal_hash: bytes
    to_entry_id: int


# Before the first seal. The sequence hands out ids from 1 on.
GENESIS = Head(0, bytes(32), 0)


@dataclass(frozen=True, slots=True)
class Seal:
    """One row of ledger_seals, its digests as their hash; `entry_ids` are [first, last] runs."""

    seq: int
    format_version: int
    from_entry_id: int
    to_entry_id: int
    entry_count: int
    entry_ids: tuple[tuple[int, int], ...]
    entries_hash: bytes
    digests_hash: bytes
    previous_hash: bytes
    sealed_at: datetime

    def hash(self) -> bytes:
        """What `seal_hash` must be: SHA-256 over all the rest, the previous seal's hash too."""
        return hashlib.sha256(
            record_text(
                "seal",
                str(self.format_version),
                str(self.seq),
                str(self.from_entry_id),
                str(self.to_entry_id),
                str(self.entry_count),
                ",".join(f"{first}-{last}" for first, last in self.entry_ids),
                self.entries_hash.hex(),
                self.digests_hash.hex(),
                self.previous_hash.hex(),
                str(microseconds(self.sealed_at)),
            ).encode()
        ).digest()

    def head(self) -> Head:
        """The chain that ends with this seal."""
        return Head(self.seq, self.hash(), self.to_entry_id)


def record_text(*fields: str | None) -> str:
    """The fields as one text that no other fields have."""
    return "".join("-," if field is None else f"{len(field.encode())}:{field}," for field in fields)


def microseconds(at: datetime) -> int:
    """Since 1970 in UTC, exactly."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def runs_of(ids: Iterable["asyncpg.Range[int]"]) -> tuple[tuple[int, int], ...]:
    """A multirange as asyncpg gives it, as runs of ids with both ends included.

    Postgres itself writes such ranges as [first, last + 1). One without an end is not of our
    making: it reads as a run that no seal has.
    """
    return tuple((run.lower or 0, (run.upper or 0) - 1) for run in ids)


def mac_of(key: bytes, seal_hash: bytes) -> bytes:
    """HMAC-SHA256 under a key that the database does not have."""
    return hmac.digest(key, seal_hash, "sha256")


def is_signed(mac: bytes | None, seal_hash: bytes, keys: Sequence[bytes]) -> bool:
    """Whether one of the keys made the MAC."""
    return mac is not None and any(hmac.compare_digest(mac, mac_of(k, seal_hash)) for k in keys)


def read_keys(path: Path | None) -> tuple[bytes, ...]:
    """The keys in the file, one a line: the first one signs, the others are of seals before it.

    Raises ValueError when one is too short to be a secret, OSError when it cannot be read.
    """
    if path is None:
        return ()
    keys = tuple(line.strip().encode() for line in path.read_text().splitlines() if line.strip())
    if not keys or any(len(key) < KEY_BYTES_MIN for key in keys):
        raise ValueError(
            f"{path}: one key a line, of {KEY_BYTES_MIN} characters or more: openssl rand -hex 32"
        )
    return keys
