"""Queries of reversals: one, or a page of a payment's."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from payments_api.auth.caller import LEDGER_READ, Caller
from payments_api.payments.queries import entry_json
from payments_core.db.engine import AnyRow
from payments_core.db.keyset import Walk
from payments_core.db.tables import (
    ledger_entries,
    payments,
    reconciliation_results,
    reversals,
)
from payments_core.domain.money import amount_text
from payments_core.domain.payments import time_or_none, utc_text
from payments_core.domain.tenants import is_of_tenant, shown_account, shown_key

_results = reconciliation_results.c


def _select() -> Select[Any]:
    of_reversal = _results.reversal_id == reversals.c.id
    return select(reversals, _results.notes).join(reconciliation_results, of_reversal, isouter=True)


async def is_payment_of(tx: AsyncConnection, payment_id: UUID, caller: Caller) -> bool:
    """Return whether the payment exists and the caller may see it."""
    query = select(payments.c.account_id).where(payments.c.id == payment_id)
    account_id = (await tx.execute(query)).scalar_one_or_none()
    return account_id is not None and is_of_tenant(account_id, caller.tenant)


async def list_reversals(
    tx: AsyncConnection, payment_id: UUID, limit: int, walk: Walk[UUID]
) -> Sequence[AnyRow]:
    """Return the payment's reversals along the walk, by id, a UUIDv7."""
    key = reversals.c.id
    query = _select().where(reversals.c.payment_id == payment_id, *walk.beyond(key))
    rows: Sequence[AnyRow] = (await tx.execute(query.order_by(*walk.order(key)).limit(limit))).all()
    return rows


async def get_reversal(tx: AsyncConnection, reversal_id: UUID, caller: Caller) -> AnyRow | None:
    """Return a reversal, or None if the caller may see none."""
    row: AnyRow | None = (
        await tx.execute(_select().where(reversals.c.id == reversal_id))
    ).one_or_none()
    return row if row is not None and is_of_tenant(row.account_id, caller.tenant) else None


async def entries_of_reversals(
    tx: AsyncConnection, rows: Sequence[AnyRow], caller: Caller
) -> dict[UUID, list[dict[str, Any]]] | None:
    """Return the ledger entries of reversals of one payment, or None without ledger:read."""
    if LEDGER_READ not in caller.scopes:
        return None
    found: dict[UUID, list[dict[str, Any]]] = {row.id: [] for row in rows}
    if rows:
        entries = ledger_entries.c
        query = select(ledger_entries).where(
            and_(entries.payment_id == rows[0].payment_id, entries.reversal_id.in_(found))
        )
        for leg in await tx.execute(query.order_by(entries.id)):
            found[leg.reversal_id].append(entry_json(leg, caller.tenant))
    return found


def reversal_json(
    row: AnyRow, entries: dict[UUID, list[dict[str, Any]]] | None, tenant: str | None
) -> dict[str, Any]:
    """Return a reversal as its tenant sees it."""
    return {
        "id": str(row.id),
        "paymentId": str(row.payment_id),
        "accountId": shown_account(row.account_id, tenant),
        "amount": amount_text(row.amount),
        "currency": row.currency,
        "reason": row.reason,
        "reference": row.reference,
        "metadata": row.metadata or {},
        "status": row.status,
        "createdAt": utc_text(row.created_at),
        "settledAt": time_or_none(row.settled_at),
        "idempotencyKey": shown_key(row.idempotency_key, tenant),
        "notes": row.notes,
        "ledgerEntries": None if entries is None else entries[row.id],
    }
