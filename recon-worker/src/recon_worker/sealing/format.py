"""The formats of a seal, byte by byte, as docs/decisions/0024-tamper-evidence.md describes them.

A seal covers a range of ledger entries and, from format 2, a range of reconciliation results, each
with its payment: this includes failed payments, which have no entries. A format never changes; a
new table or column needs a new format.

Postgres hashes the rows (row_hashes.py), Python the seals.
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

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
