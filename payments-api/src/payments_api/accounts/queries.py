"""Read an account: what it holds, now or at a moment, and its statement."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.db.engine import AnyRow
from payments_core.db.tables import accounts, ledger_entries

# Time never goes back along an account's entries, so the last one of a moment is found by
# halving: some thirty look-ups of one unique index, however long the account's history.
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


async def balance_of(
    tx: AsyncConnection, account_id: str, currency: str, at: datetime | None
) -> Decimal:
    """What the account holds, or held at that moment; zero for one never paid into."""
    if at is None:
        query = select(accounts.c.balance).where(
            accounts.c.account_id == account_id, accounts.c.currency == currency
        )
        found = (await tx.execute(query)).scalar_one_or_none()
    else:
        bounds = {"account_id": account_id, "currency": currency, "at": at}
        found = (await tx.execute(BALANCE_AT, bounds)).scalar_one_or_none()
    return Decimal(0) if found is None else found


async def currencies_of(tx: AsyncConnection, account_id: str) -> list[str]:
    """The currencies in which the account has entries, sorted."""
    query = select(accounts.c.currency).where(accounts.c.account_id == account_id)
    return list((await tx.execute(query.order_by(accounts.c.currency))).scalars())


async def entries_of(
    tx: AsyncConnection, account_id: str, currency: str, limit: int, before_seq: int | None
) -> Sequence[AnyRow]:
    """The account's entries, newest first, from below `before_seq` on."""
    entries = ledger_entries.c
    query = select(ledger_entries).where(
        entries.account_id == account_id, entries.currency == currency
    )
    if before_seq is not None:
        query = query.where(entries.account_seq < before_seq)
    return (await tx.execute(query.order_by(entries.account_seq.desc()).limit(limit))).all()
