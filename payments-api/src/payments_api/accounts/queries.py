"""Queries of accounts: balance, now or at a point in time, and entries."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, and_, func, not_, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.db.engine import AnyRow
from payments_core.db.keyset import Walk
from payments_core.db.tables import accounts, constant, ledger_entries, payments
from payments_core.db.writers import have_ended, open_writers
from payments_core.domain.money import amount_text, zero_in
from payments_core.domain.payments import SYSTEM_ACCOUNT_PREFIX, is_system_account

# An entry bears the time at which its posting moved the balance, a little before the commit. So
# the balance at a moment is final only once no posting that began before it is still open.
POSTING_SECONDS_MAX = 60  # db/engine.py bounds statements and idle transactions below it.
FINAL_WAIT_SECONDS = 3.0  # A batch takes a tenth of a second; the lock timeout of one is 5 s.
# A posting takes its lock before it reads the clock.
POSTINGS = ("ledger_entries",)

ACCOUNTS_SUMMED_MAX = 10_000  # Some ten milliseconds' work.
POSITION_SEPARATOR = " "  # No account's name contains it.

# Time never goes back along an account's entries, so bisection finds the last one before a point
# in time: some thirty look-ups in one unique index, however long the account's history.
HALVED = """halved (lo, hi) AS (
    SELECT 0::bigint, (SELECT seq FROM accounts
                       WHERE account_id = :account_id AND currency = :currency)
    UNION ALL
    SELECT CASE WHEN {before} THEN e.account_seq ELSE lo END,
           CASE WHEN {before} THEN hi ELSE e.account_seq - 1 END
    FROM halved JOIN ledger_entries e
        ON e.account_id = :account_id AND e.currency = :currency
       AND e.account_seq = (lo + hi + 1) / 2
    WHERE lo < hi
)"""
BALANCE_AT = text(f"""
WITH RECURSIVE {HALVED.format(before="e.created_at <= :at")}
SELECT e.balance_after, e.account_seq
FROM halved JOIN ledger_entries e
    ON e.account_id = :account_id AND e.currency = :currency AND e.account_seq = lo
WHERE lo = hi""")


# Open payments and reversals are those of unfinished jobs, which are few unless work piles up. An
# index of open payments by account would slow every settlement down. Two thousand look-ups take
# about 3 ms. ORDER BY and the arrays keep the planner to indexes, whatever it knows of the tables.
PENDING_JOBS_MAX = 2_000
_OF_ACCOUNT = "account_id = :account_id AND currency = :currency AND settled_at IS NULL"
PENDING = text(f"""
WITH unfinished AS MATERIALIZED (
    SELECT payment_id, reversal_id FROM recon_jobs
    WHERE status <> 'completed' ORDER BY payment_id LIMIT {PENDING_JOBS_MAX + 1}
)
SELECT CASE WHEN (SELECT count(*) FROM unfinished) <= {PENDING_JOBS_MAX} THEN
    (SELECT coalesce(sum(amount), 0) FROM payments
     WHERE id = ANY (ARRAY(SELECT payment_id FROM unfinished WHERE payment_id IS NOT NULL))
       AND {_OF_ACCOUNT} AND amount > 0)
  - (SELECT coalesce(sum(amount), 0) FROM reversals
     WHERE id = ANY (ARRAY(SELECT reversal_id FROM unfinished WHERE reversal_id IS NOT NULL))
       AND {_OF_ACCOUNT})
END""")


async def pending_of(tx: AsyncConnection, account_id: str, currency: str) -> Decimal | None:
    """Return the sum of the account's open payments, less its open reversals.

    Payments of negative amounts do not count: they will fail. Returns None if more than
    PENDING_JOBS_MAX jobs are unfinished, of any account: the sum would read them all.
    """
    names = {"account_id": account_id, "currency": currency}
    pending: Decimal | None = (await tx.execute(PENDING, names)).scalar_one()
    return pending


async def balance_of(tx: AsyncConnection, account_id: str, currency: str) -> tuple[Decimal, int]:
    """Return the account's balance and the number of its last entry; zeros without entries."""
    query = select(accounts.c.balance, accounts.c.seq).where(
        accounts.c.account_id == account_id, accounts.c.currency == currency
    )
    row = (await tx.execute(query)).one_or_none()
    return (zero_in(currency), 0) if row is None else (row.balance, row.seq)


async def moment_of(tx: AsyncConnection, at: datetime) -> tuple[datetime, bool]:
    """Return the point in time, at most the present, and whether its balances are final.

    If they are not, they are once every posting has ended that is open afterwards.
    """
    now: datetime = (await tx.execute(text("SELECT clock_timestamp()"))).scalar_one()
    at = min(at, now)
    return at, now - at >= timedelta(seconds=POSTING_SECONDS_MAX)


async def open_postings_end(connection: AsyncConnection) -> bool:
    """Wait for the postings that are open now; return whether all ended in FINAL_WAIT_SECONDS.

    Each statement must see the latest data: no snapshot.
    """
    writers = await open_writers(connection, POSTINGS)
    return await have_ended(connection, POSTINGS, writers, FINAL_WAIT_SECONDS)


async def balance_at(
    tx: AsyncConnection, account_id: str, currency: str, at: datetime
) -> tuple[Decimal, int]:
    """Return the balance at a point in time whose balances are final, and its last entry."""
    bounds = {"account_id": account_id, "currency": currency, "at": at}
    row = (await tx.execute(BALANCE_AT, bounds)).one_or_none()
    return (zero_in(currency), 0) if row is None else (row[0], row[1])


async def currencies_of(tx: AsyncConnection, account_id: str) -> list[str]:
    """Return the currencies in which the account has entries, sorted."""
    query = select(accounts.c.currency).where(accounts.c.account_id == account_id)
    return list((await tx.execute(query.order_by(accounts.c.currency))).scalars())


_name, _currency = accounts.c.account_id.collate("C"), accounts.c.currency.collate("C")


def _with_prefix(prefix: str) -> list[ColumnElement[bool]]:
    # Names are ASCII, and DEL comes after every character of theirs.
    return [_name >= prefix, _name < prefix + "\x7f"] if prefix else []


async def accounts_from(
    tx: AsyncConnection, prefix: str, limit: int, walk: Walk[tuple[str, str]]
) -> Sequence[AnyRow]:
    """Return accounts whose names start with the prefix, along the walk by name and currency.

    `position` is the text by which another page continues.
    """
    position = (_name + POSITION_SEPARATOR + _currency).label("position")
    query = select(accounts.c.account_id, accounts.c.currency, accounts.c.balance, position)
    query = query.where(*_with_prefix(prefix))
    if walk.start is not None:
        query = query.where(*walk.beyond(tuple_(_name, _currency), tuple_(*walk.start)))
    return (await tx.execute(query.order_by(*walk.order(_name, _currency)).limit(limit))).all()


async def totals_of(tx: AsyncConnection, prefix: str) -> dict[str, Any]:
    """Return number and sum of the accounts by currency, if they are ACCOUNTS_SUMMED_MAX at most.

    With the ledger's own accounts each sum would be zero: only a prefix of theirs selects them.
    """
    listed = select(accounts.c.currency, accounts.c.balance).where(*_with_prefix(prefix))
    if not is_system_account(prefix):
        own = (_name >= SYSTEM_ACCOUNT_PREFIX, _name < SYSTEM_ACCOUNT_PREFIX + "\x7f")
        listed = listed.where(not_(and_(*own)))
    some = listed.order_by(_name, _currency).limit(constant(ACCOUNTS_SUMMED_MAX + 1)).subquery()
    query = select(
        some.c.currency,
        func.count().label("accounts"),
        func.sum(some.c.balance).label("balance"),
    )
    rows = (await tx.execute(query.group_by(some.c.currency).order_by(some.c.currency))).all()
    complete = sum(row.accounts for row in rows) <= ACCOUNTS_SUMMED_MAX
    totals = [
        {"currency": row.currency, "accounts": row.accounts, "balance": amount_text(row.balance)}
        for row in rows
        if complete
    ]
    return {"totals": totals, "examinedMax": ACCOUNTS_SUMMED_MAX, "complete": complete}


async def entries_of(
    tx: AsyncConnection, account_id: str, currency: str, limit: int, walk: Walk[int]
) -> Sequence[AnyRow]:
    """Return the account's entries along the walk, by their number."""
    entries, of_payment = ledger_entries.c, payments.c
    query = (
        select(ledger_entries, of_payment.reference, of_payment.metadata, of_payment.source)
        .join(payments, of_payment.id == entries.payment_id, isouter=True)
        .where(entries.account_id == account_id, entries.currency == currency)
    )
    query = query.where(*walk.beyond(entries.account_seq)).limit(limit)
    return (await tx.execute(query.order_by(*walk.order(entries.account_seq)))).all()
