"""Queries of accounts: balance, now or at a point in time, and entries."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from payments_api.http.errors import BalanceNotFinal
from payments_core.db.engine import AnyRow
from payments_core.db.tables import accounts, ledger_entries, payments
from payments_core.domain.money import zero_in

# An entry bears the time at which its posting moved the balance, a little before the commit. So
# the balance at a moment is final only once no posting that began before it is still open.
POSTING_SECONDS_MAX = 60  # db/engine.py bounds statements and idle transactions below it.
FINAL_WAIT_SECONDS = 3.0  # A batch takes a tenth of a second; the lock timeout of one is 5 s.
FINAL_LOOK_SECONDS = 0.02

POSITION_SEPARATOR = " "  # No account's name contains it.

# A posting holds this lock from before it reads the clock until its transaction ends.
POSTINGS = text("""
SELECT virtualtransaction FROM pg_locks
WHERE locktype = 'relation' AND relation = 'public.ledger_entries'::regclass
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND mode = 'RowExclusiveLock' AND granted""")

# Time never goes back along an account's entries, so bisection finds the last one before a point
# in time: some thirty look-ups in one unique index, however long the account's history.
BALANCE_AT = text("""
WITH RECURSIVE halved (lo, hi) AS (
    SELECT 0::bigint, (SELECT seq FROM accounts
                       WHERE account_id = :account_id AND currency = :currency)
    UNION ALL
    SELECT CASE WHEN e.created_at <= :at THEN e.account_seq ELSE lo END,
           CASE WHEN e.created_at <= :at THEN hi ELSE e.account_seq - 1 END
    FROM halved JOIN ledger_entries e
        ON e.account_id = :account_id AND e.currency = :currency
       AND e.account_seq = (lo + hi + 1) / 2
    WHERE lo < hi
)
SELECT e.balance_after
FROM halved JOIN ledger_entries e
    ON e.account_id = :account_id AND e.currency = :currency AND e.account_seq = lo
WHERE lo = hi""")


async def balance_of(tx: AsyncConnection, account_id: str, currency: str) -> Decimal:
    """Return the account's balance; zero without entries."""
    query = select(accounts.c.balance).where(
        accounts.c.account_id == account_id, accounts.c.currency == currency
    )
    balance = (await tx.execute(query)).scalar_one_or_none()
    return zero_in(currency) if balance is None else balance


async def balance_at(
    tx: AsyncConnection, account_id: str, currency: str, at: datetime
) -> tuple[Decimal, datetime]:
    """Return the account's balance at a point in time, and the point: the present for a later one.

    The balance never changes afterwards. Raises BalanceNotFinal while an open posting may still
    change it. Each statement must see the latest data: no snapshot.
    """
    now: datetime = (await tx.execute(text("SELECT clock_timestamp()"))).scalar_one()
    at = min(at, now)
    if now - at < timedelta(seconds=POSTING_SECONDS_MAX):
        await _until_final(tx)
    bounds = {"account_id": account_id, "currency": currency, "at": at}
    balance = (await tx.execute(BALANCE_AT, bounds)).scalar_one_or_none()
    return zero_in(currency) if balance is None else balance, at


async def _until_final(tx: AsyncConnection) -> None:
    """Wait until every posting that is open now has ended. Raises BalanceNotFinal."""
    began = asyncio.get_running_loop().time()
    postings = set((await tx.execute(POSTINGS)).scalars())
    while postings:
        if asyncio.get_running_loop().time() - began > FINAL_WAIT_SECONDS:
            raise BalanceNotFinal
        await asyncio.sleep(FINAL_LOOK_SECONDS)
        postings &= set((await tx.execute(POSTINGS)).scalars())


async def currencies_of(tx: AsyncConnection, account_id: str) -> list[str]:
    """Return the currencies in which the account has entries, sorted."""
    query = select(accounts.c.currency).where(accounts.c.account_id == account_id)
    return list((await tx.execute(query.order_by(accounts.c.currency))).scalars())


async def accounts_from(
    tx: AsyncConnection, prefix: str, limit: int, after: tuple[str, str] | None
) -> Sequence[AnyRow]:
    """Return the accounts whose names start with the prefix, by name and currency.

    `position` is the text by which the next page continues; `after` is one, split.
    """
    name, currency = accounts.c.account_id.collate("C"), accounts.c.currency.collate("C")
    position = (name + POSITION_SEPARATOR + currency).label("position")
    query = select(accounts.c.account_id, accounts.c.currency, accounts.c.balance, position)
    if prefix:
        # Names are ASCII, and DEL comes after every character of theirs.
        query = query.where(name >= prefix, name < prefix + "\x7f")
    if after is not None:
        query = query.where(tuple_(name, currency) > tuple_(*after))
    return (await tx.execute(query.order_by(name, currency).limit(limit))).all()


async def entries_of(
    tx: AsyncConnection, account_id: str, currency: str, limit: int, before_seq: int | None
) -> Sequence[AnyRow]:
    """Return the account's entries, newest first, from below `before_seq`."""
    entries, of_payment = ledger_entries.c, payments.c
    query = (
        select(ledger_entries, of_payment.reference, of_payment.metadata, of_payment.source)
        .join(payments, of_payment.id == entries.payment_id, isouter=True)
        .where(entries.account_id == account_id, entries.currency == currency)
    )
    if before_seq is not None:
        query = query.where(entries.account_seq < before_seq)
    return (await tx.execute(query.order_by(entries.account_seq.desc()).limit(limit))).all()
