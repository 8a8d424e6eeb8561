"""Queries of payments: one in full, or a page of them, newest first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Table, and_, exists, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from payments_api.auth.caller import JOBS_ADMIN, LEDGER_READ, Caller
from payments_api.auth.tenants import is_of_tenant, shown_account, shown_key, stored_account
from payments_core.db.engine import AnyRow
from payments_core.db.tables import (
    constant,
    has_tenant,
    ledger_entries,
    payments,
    recon_jobs,
    reconciliation_results,
    tenant_of,
)
from payments_core.domain.money import amount_text
from payments_core.domain.payments import first_id_at, utc_text
from payments_core.domain.statuses import FAILED, OPEN_STATUSES

# A payment's id holds the API's time, its row the database's: how far the two may differ.
ID_SKEW = timedelta(minutes=10)

_LISTED = (
    payments.c.id,
    payments.c.account_id,
    payments.c.amount,
    payments.c.currency,
    payments.c.description,
    payments.c.reference,
    payments.c.metadata,
    payments.c.source,
    payments.c.status,
    payments.c.created_at,
    payments.c.settled_at,
    reconciliation_results.c.discrepancy_amount,
)


@dataclass(frozen=True, slots=True)
class PaymentFilter:
    """The filters of a list of payments; None does not narrow.

    `created_from` is inclusive, `created_to` exclusive. `account_id` is the stored id.
    """

    tenant: str | None = None
    account_id: str | None = None
    status: str | None = None
    currency: str | None = None
    discrepancy: bool = False
    created_from: datetime | None = None
    created_to: datetime | None = None
    reference: str | None = None
    idempotency_key: str | None = None  # As stored.

    def named_values(self) -> dict[str, str | None]:
        """Return what narrows the list, by the names that cursors are bound to.

        Names and texts must stay the same from one release to the next.
        """
        return {
            "tenant": self.tenant,
            "accountId": self.account_id,
            "status": self.status,
            "currency": self.currency,
            "discrepancy": "true" if self.discrepancy else None,
            "createdFrom": time_or_none(self.created_from),
            "createdTo": time_or_none(self.created_to),
            "reference": self.reference,
            "idempotencyKey": self.idempotency_key,
        }

    def conditions(self, before: UUID | None = None) -> list[ColumnElement[bool]]:
        """Return the WHERE terms over payments below `before`, each served by an index."""
        columns = payments.c
        terms = self._bounds(columns.id, before)
        if self.reference is not None or self.idempotency_key is not None:
            terms.extend(self._named())
        elif self.account_id is not None:
            terms.append(columns.account_id == self.account_id)
        elif self.tenant is not None:
            terms.extend((has_tenant, tenant_of == self.tenant))
        if self.status is not None:
            terms.append(columns.status == constant(self.status))
        rare = _RARE_STATUSES.get(self.status or "")
        if rare is not None and self.reference is None and self.idempotency_key is None:
            terms.append(self._is_among(*rare, before))
        if self.discrepancy:
            terms.append(self._is_among(reconciliation_results, _HAS_DISCREPANCY, before))
        if self.currency is not None:
            terms.append(columns.currency == self.currency)
        if self.created_from is not None:
            terms.append(columns.created_at >= self.created_from)
        if self.created_to is not None:
            terms.append(columns.created_at < self.created_to)
        return terms

    def _named(self) -> list[ColumnElement[bool]]:
        """Return the terms of a filter that few payments pass; the others only check these.

        No other index serves an expression, so no account or tenant is walked for it.
        """
        columns = payments.c
        terms = []
        if self.reference is not None:
            terms.append(columns.reference == self.reference)
        if self.idempotency_key is not None:
            terms.append(columns.idempotency_key == self.idempotency_key)
        if self.account_id is not None:
            terms.append(columns.account_id.concat("") == self.account_id)
        elif self.tenant is not None:
            terms.append(func.starts_with(columns.account_id, stored_account("", self.tenant)))
        return terms

    def _bounds(
        self, payment_id: ColumnElement[UUID], before: UUID | None
    ) -> list[ColumnElement[bool]]:
        """Return the bounds of the payments' ids, for a column that holds them."""
        terms = [] if before is None else [payment_id < before]
        if self.created_from is not None:
            terms.append(payment_id >= first_id_at(self.created_from, -ID_SKEW))
        if self.created_to is not None:
            terms.append(payment_id < first_id_at(self.created_to, ID_SKEW))
        return terms

    def _is_among(
        self, table: Table, condition: ColumnElement[bool], before: UUID | None
    ) -> ColumnElement[bool]:
        """Return a term for the few payments in a partial index of another table.

        The planner walks that index only with the bounds repeated: it does not carry them over an
        equality.
        """
        ids = table.c.payment_id
        listed = exists().where(ids == payments.c.id, condition, *self._bounds(ids, before))
        # The list joins the results too: without this the term would refer to that row.
        return listed.correlate(payments)


_results = reconciliation_results.c
_HAS_DISCREPANCY = _results.status == constant("completed_with_discrepancy")
_UNFINISHED = recon_jobs.c.status != constant("completed")
# Served by a partial index of an insert-only or small table: an index over payments.status
# would deny every settling payment its HOT update.
_RARE_STATUSES: dict[str, tuple[Table, ColumnElement[bool]]] = {
    **dict.fromkeys(OPEN_STATUSES, (recon_jobs, _UNFINISHED)),
    FAILED: (reconciliation_results, _results.status == constant(FAILED)),
}


def _select_listed() -> Select[Any]:
    # Only a discrepancy has an amount, so a small index serves the join.
    of_payment = and_(_results.payment_id == payments.c.id, _HAS_DISCREPANCY)
    return select(*_LISTED).join(reconciliation_results, of_payment, isouter=True)


async def list_payments(
    tx: AsyncConnection, which: PaymentFilter, limit: int, before: UUID | None
) -> Sequence[AnyRow]:
    """Return payments newest first (by id, a UUIDv7), from below `before`."""
    query = _select_listed().where(*which.conditions(before))
    rows: Sequence[AnyRow] = (
        await tx.execute(query.order_by(payments.c.id.desc()).limit(constant(limit)))
    ).all()
    return rows


async def payments_by_id(tx: AsyncConnection, ids: Sequence[UUID]) -> Sequence[AnyRow]:
    """Return these payments, oldest first, as the list shows them."""
    query = _select_listed().where(payments.c.id.in_(ids)).order_by(payments.c.id)
    rows: Sequence[AnyRow] = (await tx.execute(query)).all()
    return rows


async def get_payment(
    tx: AsyncConnection, payment_id: UUID, caller: Caller
) -> dict[str, Any] | None:
    """Return a payment as GET /payments/{id} shows it, or None if the caller may see none.

    Ledger entries and the job need their own scopes. Jobs are numbered across all tenants, so a
    tenant's key sees none.
    """
    query = select(payments).where(payments.c.id == payment_id)
    payment = (await tx.execute(query)).one_or_none()
    tenant = caller.tenant
    if payment is None or not is_of_tenant(payment.account_id, tenant):
        return None
    results, jobs, entries = reconciliation_results, recon_jobs, ledger_entries
    result = (
        await tx.execute(select(results).where(results.c.payment_id == payment_id))
    ).one_or_none()
    job = (await tx.execute(select(jobs).where(jobs.c.payment_id == payment_id))).one_or_none()
    shows_job = JOBS_ADMIN in caller.scopes and tenant is None
    legs = await tx.execute(
        select(entries).where(entries.c.payment_id == payment_id).order_by(entries.c.id)
    )
    discrepancy = result.discrepancy_amount if result else None
    return {
        **payment_json(payment._asdict() | {"discrepancy_amount": discrepancy}, tenant),
        "idempotencyKey": shown_key(payment.idempotency_key, tenant),
        "traceparent": payment.traceparent,
        "updatedAt": utc_text(payment.updated_at),
        "job": _job_in_payment(job) if job and shows_job else None,
        "reconciliation": _reconciliation_json(result, payment.amount) if result else None,
        "ledgerEntries": [entry_json(leg, tenant) for leg in legs]
        if LEDGER_READ in caller.scopes
        else None,
    }


def payment_json(payment: Mapping[str, Any], tenant: str | None = None) -> dict[str, Any]:
    """Return a payment as lists and events show it to the tenant."""
    return {
        "id": str(payment["id"]),
        "accountId": shown_account(payment["account_id"], tenant),
        "amount": amount_text(payment["amount"]),
        "currency": payment["currency"],
        "description": payment["description"],
        "reference": payment["reference"],
        "metadata": payment["metadata"] or {},
        "source": payment["source"],
        "status": payment["status"],
        "createdAt": utc_text(payment["created_at"]),
        "settledAt": time_or_none(payment["settled_at"]),
        "discrepancyAmount": _discrepancy_text(payment["discrepancy_amount"], payment["amount"]),
    }


def entry_json(entry: AnyRow, tenant: str | None = None) -> dict[str, Any]:
    """Return a ledger entry without its payment.

    Numbers that count or sum across tenants are None for a tenant.
    """
    own = is_of_tenant(entry.account_id, tenant)
    return {
        "id": entry.id if tenant is None else None,
        "accountId": shown_account(entry.account_id, tenant),
        "currency": entry.currency,
        "entryType": entry.entry_type,
        "direction": entry.direction,
        "amount": amount_text(entry.amount),
        "accountSeq": entry.account_seq if own else None,
        "balanceAfter": amount_text(entry.balance_after) if own else None,
        "createdAt": utc_text(entry.created_at),
    }


def time_or_none(at: datetime | None) -> str | None:
    """Return the time as the API writes it, or None."""
    return None if at is None else utc_text(at)


def _discrepancy_text(discrepancy: Decimal | None, amount: Decimal) -> str | None:
    """Return the discrepancy with the decimals of the payment's amount."""
    # The rule's discrepancy is one number for all currencies; a sum has the wider scale.
    return None if discrepancy is None else amount_text(discrepancy + amount * 0)


def _reconciliation_json(result: AnyRow, amount: Decimal) -> dict[str, Any]:
    return {
        "status": result.status,
        "matched": result.matched,
        "discrepancyAmount": _discrepancy_text(result.discrepancy_amount, amount),
        "notes": result.notes,
        "ruleVersion": result.rule_version,
        "createdAt": utc_text(result.created_at),
    }


def _job_in_payment(job: AnyRow) -> dict[str, Any]:
    return {
        "id": job.id,
        "status": job.status,
        "attempts": job.attempts,
        "maxAttempts": job.max_attempts,
        "createdAt": utc_text(job.created_at),
        "lockedAt": time_or_none(job.locked_at),
        "lockedBy": job.locked_by,
        "runAt": utc_text(job.run_at),
        "lastError": job.last_error,
        "updatedAt": utc_text(job.updated_at),
    }
