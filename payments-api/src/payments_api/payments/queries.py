"""Queries of payments: one in full, a page of them, or their totals."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    FromClause,
    Label,
    Select,
    and_,
    case,
    exists,
    false,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from payments_api.auth.caller import JOBS_ADMIN, LEDGER_READ, Caller
from payments_api.auth.item_ids import ItemIds
from payments_api.payments.filters import HAS_DISCREPANCY, PaymentFilter
from payments_core.db.engine import AnyRow
from payments_core.db.keyset import EXAMINED_MAX, Found, Walk
from payments_core.db.tables import (
    constant,
    ledger_entries,
    payments,
    recon_jobs,
    reconciliation_results,
    reversals,
)
from payments_core.domain.money import amount_text
from payments_core.domain.payment_json import discrepancy_text, lasting_payment_json
from payments_core.domain.payments import time_or_none, utc_text
from payments_core.domain.tenants import is_of_tenant, shown_account, shown_key
from payments_core.matching.settlement import SETTLEMENT
from payments_core.statements.sources import stored_source_name

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
)
_results = reconciliation_results.c


def _reversed_of(listed: FromClause) -> Label[Any]:
    """Return the sum of a payment's completed reversals: one look-up for each payment."""
    reversed_ = select(func.sum(reversals.c.amount)).where(
        reversals.c.payment_id == listed.c.id, reversals.c.status == constant("completed")
    )
    return reversed_.scalar_subquery().label("reversed_amount")


def _is_dead_letter(listed: FromClause) -> Label[Any]:
    """Return whether an open payment's job is a dead letter: a look-up in the unfinished jobs."""
    jobs = recon_jobs.c
    dead = exists().where(jobs.payment_id == listed.c.id, jobs.status == constant("failed"))
    of_open = case((listed.c.settled_at.is_(None), dead.correlate(listed)), else_=false())
    return of_open.label("dead_letter")


def _select_listed(listed: FromClause) -> Select[Any]:
    # Only a discrepancy has an amount, so a small index serves the join.
    of_payment = and_(_results.payment_id == listed.c.id, HAS_DISCREPANCY)
    columns = [listed.c[column.name] for column in _LISTED]
    more = (_results.discrepancy_amount, _reversed_of(listed), _is_dead_letter(listed))
    return select(*columns, *more).join(reconciliation_results, of_payment, isouter=True)


async def list_payments(
    tx: AsyncConnection, which: PaymentFilter, limit: int, walk: Walk[UUID]
) -> Found[UUID]:
    """Return payments along the walk, by id, a UUIDv7.

    A filter that no index serves is applied to the next EXAMINED_MAX payments alone: a page may
    then have fewer rows than the limit and still be followed by others. Needs one snapshot.
    """
    indexed = select(payments).where(*which.indexed(walk)).order_by(*walk.order(payments.c.id))
    if not which.examines:
        query = _select_listed(payments).where(*which.indexed(walk))
        query = query.order_by(*walk.order(payments.c.id)).limit(constant(limit))
        return Found((await tx.execute(query)).all())
    examined = indexed.limit(constant(EXAMINED_MAX)).subquery()
    query = _select_listed(examined).where(*which.examined(examined))
    rows = (
        await tx.execute(query.order_by(*walk.order(examined.c.id)).limit(constant(limit)))
    ).all()
    if len(rows) == limit:
        return Found(rows)
    skipped = constant(walk.skipped(EXAMINED_MAX))
    end = indexed.with_only_columns(payments.c.id).offset(skipped).limit(constant(1))
    return Found(rows, (await tx.execute(end)).scalar_one_or_none())


async def totals_of(tx: AsyncConnection, which: PaymentFilter) -> dict[str, Any]:
    """Return number and sum of the payments by currency, or that they are more than EXAMINED_MAX.

    With a filter that no index serves, "more" are the payments to examine.
    """
    walk: Walk[UUID] = Walk()
    indexed = select(payments).where(*which.indexed(walk)).order_by(*walk.order(payments.c.id))
    examined = indexed.limit(constant(EXAMINED_MAX + 1)).subquery()
    matches = and_(true(), *which.examined(examined))
    query = select(
        examined.c.currency,
        func.count().filter(matches).label("payments"),
        func.sum(examined.c.amount).filter(matches).label("amount"),
        func.count().label("examined"),
    ).group_by(examined.c.currency)
    rows = (await tx.execute(query.order_by(examined.c.currency))).all()
    whole = sum(row.examined for row in rows) <= EXAMINED_MAX
    totals = [
        {"currency": row.currency, "payments": row.payments, "amount": amount_text(row.amount)}
        for row in rows
        if row.payments and whole
    ]
    return {"totals": totals, "examinedMax": EXAMINED_MAX, "complete": whole}


async def payments_by_id(tx: AsyncConnection, ids: Sequence[UUID]) -> Sequence[AnyRow]:
    """Return these payments, oldest first, as the list shows them."""
    query = _select_listed(payments).where(payments.c.id.in_(ids)).order_by(payments.c.id)
    rows: Sequence[AnyRow] = (await tx.execute(query)).all()
    return rows


async def get_payment(
    tx: AsyncConnection, payment_id: UUID, caller: Caller, ids: ItemIds
) -> dict[str, Any] | None:
    """Return a payment as GET /payments/{id} shows it, or None if the caller may see none.

    Ledger entries and the job need their own scopes. Jobs are numbered across all tenants, so a
    tenant's key sees none.
    """
    settlement = literal_column(SETTLEMENT, JSONB).label("settlement")
    listed = select(payments, _reversed_of(payments), _is_dead_letter(payments), settlement)
    query = listed.where(payments.c.id == payment_id)
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
        select(entries)
        .where(entries.c.payment_id == payment_id, entries.c.reversal_id.is_(None))
        .order_by(entries.c.id)
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
        "settlement": _settlement_json(payment.settlement, ids) if payment.settlement else None,
    }


def _settlement_json(found: Mapping[str, Any], ids: ItemIds) -> dict[str, Any]:
    """Return the line by which the bank confirms a payment; a tenant sees its own source alone."""
    own = ids.tenant in (None, found["tenant"])
    return {
        "bookedOn": found["on"],
        "matchedAt": utc_text(datetime.fromisoformat(found["at"])),
        "rule": found["rule"],
        "source": stored_source_name(found["source"], None if ids.tenant else found["tenant"])
        if own
        else None,
        "statementFileId": found["file"] if own else None,
        "lineId": ids.shown("line", found["line"]) if own else None,
        "matchId": ids.shown("match", found["match"]) if own else None,
    }


def payment_json(payment: Mapping[str, Any], tenant: str | None = None) -> dict[str, Any]:
    """Return a payment as lists and the stream show it to the tenant."""
    reversed_amount = (payment["reversed_amount"] or 0) + payment["amount"] * 0  # Its decimals.
    return {
        **lasting_payment_json(payment, tenant),
        "reversedAmount": amount_text(reversed_amount),
        "deadLetter": payment["dead_letter"],
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
        "postingKind": entry.posting_kind,
        "entryType": entry.entry_type,
        "direction": entry.direction,
        "amount": amount_text(entry.amount),
        "accountSeq": entry.account_seq if own else None,
        "balanceAfter": amount_text(entry.balance_after) if own else None,
        "createdAt": utc_text(entry.created_at),
    }


def _reconciliation_json(result: AnyRow, amount: Decimal) -> dict[str, Any]:
    return {
        "status": result.status,
        "matched": result.matched,
        "discrepancyAmount": discrepancy_text(result.discrepancy_amount, amount),
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
