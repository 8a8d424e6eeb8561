"""An account's balance over time, by a bounded number of its entries."""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from payments_api.accounts.queries import HALVED
from payments_core.db.engine import AnyRow

POINTS_MAX = 200  # More than a chart shows; each is one look-up in a unique index.

# The bisection finds the last entry before the range. The LIMIT keeps the planner from reading the
# whole account for a join.
BALANCES_SINCE = text(f"""
WITH RECURSIVE {HALVED.format(before="e.created_at < :since")}, span AS (
    SELECT greatest(lo, 1) AS first, seq AS last FROM halved JOIN accounts
        ON account_id = :account_id AND currency = :currency
    WHERE lo = hi
), shown (account_seq) AS (
    SELECT generate_series(
        first, last, greatest(1, ceil((last - first)::numeric / (:points - 1)))::bigint) FROM span
    UNION
    SELECT last FROM span
)
SELECT entry.* FROM shown CROSS JOIN LATERAL (
    SELECT e.account_seq, e.balance_after, e.created_at FROM ledger_entries e
    WHERE e.account_id = :account_id AND e.currency = :currency
      AND e.account_seq = shown.account_seq
    LIMIT 1
) AS entry
ORDER BY entry.account_seq""")


async def balances_since(
    tx: AsyncConnection, account_id: str, currency: str, since: datetime | None, points: int
) -> Sequence[AnyRow]:
    """Return the last entry before `since`, if any, and entries after it, at most `points`.

    Of more entries every n-th is returned, and the newest.
    """
    values = {
        "account_id": account_id,
        "currency": currency,
        "since": since or datetime.min.replace(tzinfo=UTC),
        "points": points,
    }
    return (await tx.execute(BALANCES_SINCE, values)).all()
