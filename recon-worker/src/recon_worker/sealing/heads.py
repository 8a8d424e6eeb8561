"""Heads of the chain that are kept outside the database, and the check against them."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.db.engine import AnyRow
from recon_worker.sealing.compare import SealFinding
from recon_worker.sealing.format import Seal

HEAD = """
SELECT seq, seal_hash, to_entry_id, to_result_id, sealed_at, format_version FROM ledger_seals
ORDER BY seq DESC LIMIT 1"""
SEALS_AT = "SELECT seq, seal_hash FROM ledger_seals WHERE seq = ANY ($1::bigint[])"


class NoHead(Exception):
    """The input of --check-head has no valid head."""


@dataclass(frozen=True, slots=True)
class KeptHead:
    """A seal's number and hash, from an earlier copy."""

    seq: int
    seal_hash: bytes


def head_fields(seal: Seal) -> dict[str, Any]:
    """Return the head that a seal makes, in the form that is logged and exported."""
    to_result_id = seal.results.to_id if seal.results else None
    return _fields(
        seal.seq,
        seal.hash(),
        seal.entries.to_id,
        to_result_id,
        seal.sealed_at,
        seal.format_version,
    )


async def export_head(connection: AsyncConnection) -> dict[str, Any] | None:
    """Return the chain's head, or None if there is no seal."""
    row: AnyRow | None = (await connection.exec_driver_sql(HEAD)).one_or_none()
    return None if row is None else _fields(*row)


def _fields(
    seq: int,
    seal_hash: bytes,
    entry_id: int,
    result_id: int | None,
    sealed_at: datetime,
    format_version: int,
) -> dict[str, Any]:
    return {
        "seq": seq,
        "seal_hash": seal_hash.hex(),
        "entry_id": entry_id,
        "result_id": result_id,
        "sealed_at": sealed_at.astimezone(UTC).isoformat(timespec="microseconds"),
        "format_version": format_version,
    }


def read_heads(lines: Iterable[str]) -> list[KeptHead]:
    """Return the heads in an exported file or in a log with `ledger_sealed` events, oldest first.

    Other lines are skipped, because a log has many. A log that continues after the chain was
    rewritten has two heads with one number: both are returned, because they prove the rewriting.
    Raises NoHead if there is no head, or if one has an invalid number or hash.
    """
    heads: set[KeptHead] = set()
    for line in lines:
        start = line.find("{")
        try:
            fields = json.loads(line[start:]) if start >= 0 else None
        except ValueError:
            continue
        if isinstance(fields, dict) and isinstance(fields.get("head"), dict):
            fields = fields["head"]  # The output of `audit --seal --json`.
        if not isinstance(fields, dict) or not {"seq", "seal_hash"} <= fields.keys():
            continue
        try:
            heads.add(KeptHead(int(fields["seq"]), bytes.fromhex(fields["seal_hash"])))
        except (TypeError, ValueError):
            raise NoHead(f"not a head: {line.strip()[:200]}") from None
    if not heads:
        raise NoHead('no line is a head, such as {"seq": 12, "seal_hash": "9f..."}')
    return sorted(heads, key=lambda head: (head.seq, head.seal_hash))


async def check_heads(connection: AsyncConnection, heads: Sequence[KeptHead]) -> list[SealFinding]:
    """Return a finding for the first kept head that the chain does not hold, or none."""
    rows = await connection.exec_driver_sql(SEALS_AT, ([head.seq for head in heads],))
    hashes = {row.seq: row.seal_hash for row in rows.all()}
    last = await export_head(connection)
    findings = []
    for head in heads:
        if head.seq not in hashes:
            ends = last["seq"] if last else 0
            why = f"the chain ends at seal {ends}: later ones were cut off"
            if ends > head.seq:
                why = f"the chain continues to seal {ends} without it"
            findings.append(SealFinding("head_missing", head.seq, why))
            break
        if hashes[head.seq] != head.seal_hash:
            held = (h.seq for h in heads if h.seq < head.seq and hashes[h.seq] == h.seal_hash)
            why = f"the chain was rewritten after seal {max(held, default=0)}"
            findings.append(SealFinding("head_rewritten", head.seq, why))
            break
    return findings
