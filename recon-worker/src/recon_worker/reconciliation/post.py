"""Post a batch in one transaction: results, ledger entries, payments and jobs, all or none.

Two statements post a batch of any size. Their plans do not depend on the planner's estimate of the
batch's rows: look-ups use an index, and one window function numbers the ledger entries without a
join.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.domain.payments import CLEARING_ACCOUNT_PREFIX, DEFAULT_SOURCE
from payments_core.queue import jobs
from payments_core.queue.jobs import ClaimedJob, Lease, LeaseLost
from recon_worker.failpoints import reach
from recon_worker.reconciliation.rules import REVERSED, RULE_VERSION, Outcome


def clearing_account(source: str, shard: str) -> str:
    """Return SQL for the name of a source's clearing account, from SQL for source and shard."""
    return f"""'{CLEARING_ACCOUNT_PREFIX}' || CASE {source} WHEN '{DEFAULT_SOURCE}' THEN ''
           ELSE {source} || ':' END || {shard}"""


# Adds the rows of a CTE `moved` to the head rows of their accounts.
#
# All postings lock head rows in the same order, so two of them never wait for each other. ON
# CONFLICT DO UPDATE waits for the row and adds to its latest version; the returned row cannot
# change before the commit. An account's entries never go back in time.
MOVE_HEADS = """
    INSERT INTO accounts AS head
        (account_id, currency, balance, seq, debits, credits, created_at, updated_at)
    SELECT account_id, currency, delta, entries, debits, credits, now(), clock_timestamp()
    FROM moved ORDER BY account_id, currency
    ON CONFLICT (account_id, currency) DO UPDATE
    SET balance = head.balance + excluded.balance,
        seq = head.seq + excluded.seq,
        debits = head.debits + excluded.debits,
        credits = head.credits + excluded.credits,
        updated_at = greatest(head.updated_at, clock_timestamp())
    RETURNING account_id, currency, balance, seq, updated_at"""

# $1 payment ids, $2 job ids, $3 each payment's outcome, counted from 1. The outcomes: $4 payment
# status, $5 result status, $6 matched, $7 discrepancy, $8 notes. $9 the clearing shard.
# The reversals of the batch: $10 ids, $11 job ids, $12 places, after the payments'.
#
# numbered: counts back from the updated head, one leg at a time, so the batch's entries continue
# the account's numbers and balances without a gap or an overlap.
#
# The ledger's ORDER BY gives the payment leg its id before the clearing leg.
_CLEARING = clearing_account("source", "$9::text")
POST = f"""
WITH decided AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::int[])
        WITH ORDINALITY AS decided (payment_id, job_id, outcome, place)
), settled AS (
    UPDATE payments SET status = ($4::text[])[outcome], settled_at = now(), updated_at = now()
    FROM decided WHERE payments.id = decided.payment_id AND payments.settled_at IS NULL
    RETURNING payments.id, account_id, currency, amount, payments.status, source, job_id,
              outcome, place
), reversed AS (
    UPDATE reversals SET status = 'completed', settled_at = now(), updated_at = now()
    FROM unnest($10::uuid[], $11::bigint[], $12::bigint[]) AS decided (id, job_id, place)
    WHERE reversals.id = decided.id AND reversals.settled_at IS NULL
    RETURNING reversals.id, payment_id, account_id, currency, amount, source, job_id, place
), resulted AS (
    INSERT INTO reconciliation_results (payment_id, reversal_id, recon_job_id, status, matched,
                                        discrepancy_amount, notes, rule_version)
    SELECT id, NULL::uuid, job_id, ($5::text[])[outcome], ($6::boolean[])[outcome],
           ($7::numeric[])[outcome], ($8::text[])[outcome], {RULE_VERSION}
    FROM settled
    UNION ALL
    SELECT NULL, id, job_id, '{REVERSED.result_status}', {REVERSED.matched}, NULL,
           '{REVERSED.notes}', {RULE_VERSION}
    FROM reversed
), legs AS MATERIALIZED (
    SELECT id AS payment_id, NULL::uuid AS reversal_id, account_id, currency,
           'payment' AS entry_type, 'credit' AS direction, amount, amount AS delta, place
    FROM settled WHERE status = 'completed'
    UNION ALL
    SELECT id, NULL, {_CLEARING}, currency, 'clearing', 'debit', amount, -amount, place
    FROM settled WHERE status = 'completed'
    UNION ALL
    SELECT payment_id, id, account_id, currency, 'reversal', 'debit', amount, -amount, place
    FROM reversed
    UNION ALL
    SELECT payment_id, id, {_CLEARING}, currency, 'clearing', 'credit', amount, amount, place
    FROM reversed
), moved AS (
    SELECT account_id, currency, sum(delta) AS delta, count(*) AS entries,
           coalesce(sum(amount) FILTER (WHERE direction = 'debit'), 0) AS debits,
           coalesce(sum(amount) FILTER (WHERE direction = 'credit'), 0) AS credits
    FROM legs GROUP BY account_id, currency
), heads AS ({MOVE_HEADS}
), numbered AS (
    SELECT payment_id, reversal_id, account_id, currency, entry_type, direction, amount, place,
           max(seq) OVER account + 2 - row_number() OVER account AS account_seq,
           sum(later) OVER account + delta AS balance_after,
           max(moved_at) OVER account AS moved_at
    FROM (
        SELECT payment_id, reversal_id, account_id, currency, entry_type, direction, amount, place,
               delta, -delta AS later, NULL::bigint AS seq, NULL::timestamptz AS moved_at
        FROM legs
        UNION ALL
        SELECT NULL, NULL, account_id, currency, NULL, NULL, NULL, NULL,
               0, balance, seq, updated_at
        FROM heads
    ) AS step
    WINDOW account AS (PARTITION BY account_id, currency ORDER BY place DESC NULLS FIRST
                       ROWS UNBOUNDED PRECEDING)
), posted AS (
    INSERT INTO ledger_entries (payment_id, reversal_id, posting_kind, account_id, currency,
                                entry_type, direction, amount, account_seq, balance_after,
                                created_at)
    SELECT payment_id, reversal_id,
           CASE WHEN reversal_id IS NULL THEN 'payment' ELSE 'reversal' END,
           account_id, currency, entry_type, direction, amount, account_seq, balance_after, moved_at
    FROM numbered WHERE payment_id IS NOT NULL ORDER BY place, entry_type DESC
)
SELECT (SELECT count(*) FROM settled) + (SELECT count(*) FROM reversed)"""


@dataclass(frozen=True, slots=True)
class DecidedJob:
    """A claimed job and the outcome that the rules decided for its payment."""

    job: ClaimedJob
    outcome: Outcome


def clearing_shard(worker_id: str, shards: int) -> str:
    """Return the worker's shard of each source's clearing account.

    Few workers share an account, so few wait for each other. The account of the default source
    is `sys:clearing:SHARD`, of another one `sys:clearing:SOURCE:SHARD`.
    """
    return f"{zlib.crc32(worker_id.encode()) % shards:02d}"


async def post_batch(
    tx: AsyncConnection, lease: Lease, batch: Sequence[DecidedJob], shard: str
) -> None:
    """Settle every payment of the batch and post the completed ones to the ledger.

    Raises LeaseLost if the lease no longer holds one of the jobs, or if its payment is already
    settled: the caller must then roll its transaction back.
    """
    job_ids = [decided.job.id for decided in batch]
    # The fence comes first, to detect a lost lease before any other work.
    await jobs.complete(tx, lease, job_ids)
    reach("after_fence")
    payments = [decided for decided in batch if decided.job.reversal_id is None]
    reversals = [decided.job for decided in batch if decided.job.reversal_id is not None]
    outcomes = list({decided.outcome: None for decided in payments})
    place_of = {outcome: place for place, outcome in enumerate(outcomes, start=1)}
    result = await tx.exec_driver_sql(
        POST,
        (
            [decided.job.payment_id for decided in payments],
            [decided.job.id for decided in payments],
            [place_of[decided.outcome] for decided in payments],
            [outcome.payment_status for outcome in outcomes],
            [outcome.result_status for outcome in outcomes],
            [outcome.matched for outcome in outcomes],
            [outcome.discrepancy_amount for outcome in outcomes],
            [outcome.notes for outcome in outcomes],
            shard,
            [job.reversal_id for job in reversals],
            [job.id for job in reversals],
            list(range(len(payments) + 1, len(batch) + 1)),
        ),
    )
    if result.scalar() != len(batch):
        raise LeaseLost
