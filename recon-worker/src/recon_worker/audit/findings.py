"""Findings: what each invariant's queries return, and how the last audit's are stored."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from recon_worker.audit.invariant import OFFENDERS_SHOWN_MAX, Invariant, Window
from recon_worker.audit.invariants import INVARIANTS

Mode = Literal["incremental", "full"]

# A column of an offending row, and its name in the API.
REFERENCES = {
    "payment_id": "paymentId",
    "account_id": "accountId",
    "currency": "currency",
    "job_id": "jobId",
}


@dataclass(slots=True)
class Finding:
    """The result of one invariant's queries; `offenders` holds the first few rows."""

    invariant: Invariant
    offending: int = 0
    offenders: list[Mapping[str, Any]] = field(default_factory=list)

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Count offending rows."""
        self.offending += len(rows)
        self.offenders.extend(rows[: OFFENDERS_SHOWN_MAX - len(self.offenders)])

    @property
    def references(self) -> list[dict[str, Any]]:
        """Return the payments, accounts and jobs that the offenders name, for links."""
        id_is_of = {Window.PAYMENTS: "payment_id", Window.NONE: "job_id"}.get(self.invariant.window)
        found = []
        for row in self.offenders:
            named = dict(row) | ({id_is_of: row["id"]} if id_is_of and "id" in row else {})
            found.append({field: named.get(column) for column, field in REFERENCES.items()})
        return [each for each in found if any(each.values())]


_FINAL = "excluded.mode = 'full' OR excluded.invariant = ANY ($3::text[])"
STORE = f"""
INSERT INTO audit_findings AS last (invariant, offending, offenders, mode)
SELECT invariant, offending, offenders, $4
FROM unnest($1::text[], $2::bigint[], $5::jsonb[]) AS found (invariant, offending, offenders)
ON CONFLICT (invariant) DO UPDATE SET mode = excluded.mode, checked_at = now(),
    offending = CASE WHEN {_FINAL}
                THEN excluded.offending ELSE greatest(last.offending, excluded.offending) END,
    offenders = CASE WHEN {_FINAL} OR excluded.offending > 0
                THEN excluded.offenders ELSE last.offenders END"""


async def store_findings(
    connection: AsyncConnection, mode: Mode, findings: Collection[Finding]
) -> None:
    """Store each invariant's last finding; a violation stays until a full audit clears it."""
    if not findings:
        return
    names = [finding.invariant.name for finding in findings]
    offending = [finding.offending for finding in findings]
    checked_whole = [i.name for i in INVARIANTS if i.window is Window.NONE]
    offenders = [json.dumps(finding.references, default=str) for finding in findings]
    await connection.exec_driver_sql(STORE, (names, offending, checked_whole, mode, offenders))


async def last_findings(connection: AsyncConnection) -> tuple[dict[str, int], float | None]:
    """Return the stored numbers of offending rows by invariant, and their age in seconds."""
    rows = (
        await connection.execute(
            text(
                "SELECT invariant, offending,"
                " extract(epoch FROM now() - max(checked_at) OVER ())::float8 AS age"
                " FROM audit_findings"
            )
        )
    ).all()
    return {row.invariant: row.offending for row in rows}, rows[0].age if rows else None
