"""What must always be true, each as a query that returns the rows that make it false.

A posting commits all at once, so every query here, which sees one snapshot, may run beside
a busy worker. `:lo` and `:hi` bound the window of ids it looks at: of ledger_entries, of
reconciliation_results, or of payments. The rules are decided again in SQL, on purpose by
other code than the worker's.
"""

from dataclasses import dataclass
from enum import StrEnum

OFFENDERS_SHOWN_MAX = 20  # A broken ledger must not print itself whole.
READY_JOB_AGE_SECONDS_MAX = 300


class Window(StrEnum):
    """Which ids an invariant's query walks along; NONE is a look at the whole, always small."""

    ENTRIES = "ledger_entries"
    RESULTS = "reconciliation_results"
    PAYMENTS = "payments"
    JOBS = "recon_jobs"  # Of no query's own: by these the auditor finds payments that came late.
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Invariant:
    """`name` is the metric's label; `full_query` sees what no window can, in full mode only."""

    name: str
    title: str
    window: Window
    query: str
    full_query: str | None = None

    @property
    def query_of_ids(self) -> str:
        """Of one along payments: the same of those in `:ids`."""
        return self.query.replace(_PAYMENTS_BETWEEN, "p.id = ANY (CAST(:ids AS uuid[]))")


_PAYMENTS_BETWEEN = "p.id > :lo AND p.id <= :hi"

# An entry's predecessor mostly stands in the window too. Where it does not, which is about once for
# each account, far_seq says which one to look up.
_WITH_PREVIOUS = """
    FROM (
        SELECT *, CASE WHEN near_seq = account_seq - 1 THEN NULL ELSE account_seq - 1 END AS far_seq
        FROM (
            SELECT id, account_id, currency, account_seq, balance_after, direction, amount,
                   created_at, lag(account_seq) OVER account AS near_seq,
                   lag(balance_after) OVER account AS near_balance_after,
                   lag(created_at) OVER account AS near_created_at
            FROM ledger_entries WHERE id > :lo AND id <= :hi
            WINDOW account AS (PARTITION BY account_id, currency ORDER BY account_seq)
        ) AS in_window
    ) AS e
    LEFT JOIN ledger_entries AS far
        ON (far.account_id, far.currency, far.account_seq) = (e.account_id, e.currency, e.far_seq)
    CROSS JOIN LATERAL (
        SELECT CASE WHEN far_seq IS NULL THEN near_seq ELSE far.account_seq END AS account_seq,
               CASE WHEN far_seq IS NULL THEN near_balance_after ELSE far.balance_after END
                   AS balance_after,
               CASE WHEN far_seq IS NULL THEN near_created_at ELSE far.created_at END AS created_at
    ) AS before
    WHERE"""

_TOUCHED_PAYMENTS = "SELECT payment_id FROM ledger_entries WHERE id > :lo AND id <= :hi"

INVARIANTS = (
    Invariant(
        "posting_balances",
        "Every posting has two equal legs, of its payment's amount, currency and account",
        Window.ENTRIES,
        f"""
        SELECT e.payment_id, count(*) AS legs
        FROM ledger_entries e JOIN payments p ON p.id = e.payment_id
        WHERE e.payment_id IN ({_TOUCHED_PAYMENTS})
        GROUP BY e.payment_id
        HAVING count(*) <> 2
            OR count(*) FILTER (WHERE e.direction = 'credit' AND e.entry_type = 'payment'
                                AND e.account_id = p.account_id) <> 1
            OR count(*) FILTER (WHERE e.direction = 'debit' AND e.entry_type = 'clearing') <> 1
            OR bool_or(e.amount <> p.amount) OR bool_or(e.currency <> p.currency)""",
    ),
    Invariant(
        "currencies_sum_to_zero",
        "All balances of a currency sum to zero",
        Window.ENTRIES,
        f"""
        SELECT currency, sum(CASE direction WHEN 'credit' THEN amount ELSE -amount END) AS excess
        FROM ledger_entries WHERE payment_id IN ({_TOUCHED_PAYMENTS})
        GROUP BY currency
        HAVING sum(CASE direction WHEN 'credit' THEN amount ELSE -amount END) <> 0""",
        """
        SELECT currency, sum(balance) AS excess FROM accounts
        GROUP BY currency HAVING sum(balance) <> 0""",
    ),
    Invariant(
        "running_balance_adds_up",
        "Every balance_after is the one before it and the entry's own amount",
        Window.ENTRIES,
        f"""
        SELECT e.id, e.account_id, e.currency, e.account_seq, e.balance_after
        {_WITH_PREVIOUS} e.balance_after <> coalesce(before.balance_after, 0)
              + CASE e.direction WHEN 'credit' THEN e.amount ELSE -e.amount END""",
    ),
    Invariant(
        "sequence_has_no_gap",
        "Every account's entries are numbered from 1 without a gap",
        Window.ENTRIES,
        f"""
        SELECT e.id, e.account_id, e.currency, e.account_seq
        {_WITH_PREVIOUS} e.account_seq > 1 AND before.account_seq IS NULL""",
        """
        SELECT account_id, currency, count(*) AS entries, max(account_seq) AS last
        FROM ledger_entries GROUP BY account_id, currency
        HAVING min(account_seq) <> 1 OR max(account_seq) <> count(*)""",
    ),
    Invariant(
        "head_row_is_the_last_entry",
        "Every account's head row equals its last entry and the sums of its entries",
        Window.ENTRIES,
        """
        SELECT touched.account_id, touched.currency, a.seq, a.balance
        FROM (SELECT DISTINCT account_id, currency FROM ledger_entries
              WHERE id > :lo AND id <= :hi) AS touched
        LEFT JOIN accounts a USING (account_id, currency)
        LEFT JOIN LATERAL (
            SELECT account_seq, balance_after FROM ledger_entries e
            WHERE (e.account_id, e.currency) = (touched.account_id, touched.currency)
            ORDER BY account_seq DESC LIMIT 1) AS last ON true
        WHERE (a.seq, a.balance) IS DISTINCT FROM (last.account_seq, last.balance_after)""",
        """
        SELECT account_id, currency, a.balance, a.seq, a.debits, a.credits
        FROM accounts a FULL JOIN (
            SELECT account_id, currency, max(account_seq) AS seq,
                   coalesce(sum(amount) FILTER (WHERE direction = 'debit'), 0) AS debits,
                   coalesce(sum(amount) FILTER (WHERE direction = 'credit'), 0) AS credits
            FROM ledger_entries GROUP BY account_id, currency
        ) AS summed USING (account_id, currency)
        WHERE (a.balance, a.seq, a.debits, a.credits) IS DISTINCT FROM
              (summed.credits - summed.debits, summed.seq, summed.debits, summed.credits)""",
    ),
    Invariant(
        "time_runs_forward",
        "Along an account's entries time never goes back",
        Window.ENTRIES,
        f"""
        SELECT e.id, e.account_id, e.currency, e.account_seq, e.created_at
        {_WITH_PREVIOUS} before.created_at > e.created_at""",
    ),
    Invariant(
        "status_result_and_ledger_agree",
        "Completed has a result and two entries, failed a result and none, pending neither",
        Window.RESULTS,
        """
        SELECT p.id, p.status, r.status AS result, entries.n AS entries
        FROM reconciliation_results r JOIN payments p ON p.id = r.payment_id
        CROSS JOIN LATERAL (
            SELECT count(*) AS n FROM ledger_entries e WHERE e.payment_id = p.id) AS entries
        WHERE r.id > :lo AND r.id <= :hi
          AND (p.status = 'pending'
               OR (p.status = 'failed') <> (r.status = 'failed')
               OR entries.n <> CASE p.status WHEN 'completed' THEN 2 ELSE 0 END)""",
        """
        SELECT p.id, p.status, r.status AS result, coalesce(e.n, 0) AS entries
        FROM payments p
        LEFT JOIN reconciliation_results r ON r.payment_id = p.id
        LEFT JOIN (SELECT payment_id, count(*) AS n FROM ledger_entries GROUP BY 1) AS e
            ON e.payment_id = p.id
        WHERE (p.status = 'pending') <> (r.id IS NULL)
           OR coalesce(e.n, 0) <> CASE p.status WHEN 'completed' THEN 2 ELSE 0 END""",
    ),
    Invariant(
        "outcome_follows_the_rules",
        "Every result is what the rules make of its payment's amount",
        Window.RESULTS,
        """
        SELECT p.id, p.amount, r.status AS result, r.rule_version
        FROM reconciliation_results r JOIN payments p ON p.id = r.payment_id
        WHERE r.id > :lo AND r.id <= :hi AND r.rule_version = 1
          AND (r.status, r.discrepancy_amount) IS DISTINCT FROM (CASE
              WHEN p.amount <= 0 THEN 'failed'
              WHEN p.amount - trunc(p.amount) = 0.13 THEN 'completed_with_discrepancy'
              ELSE 'completed' END,
              CASE WHEN p.amount > 0 AND p.amount - trunc(p.amount) = 0.13 THEN 0.13 END)""",
    ),
    Invariant(
        "pending_has_one_live_job",
        "A pending payment has exactly one job that is not finished, a settled one has none",
        Window.PAYMENTS,
        f"""
        SELECT p.id, p.status, j.id AS job_id, j.status AS job_status
        FROM payments p LEFT JOIN recon_jobs j ON j.payment_id = p.id
        WHERE {_PAYMENTS_BETWEEN}
          AND (p.status = 'pending') <> coalesce(j.status <> 'completed', false)""",
    ),
    Invariant(
        "settled_once",
        "A settled payment was never touched again",
        Window.PAYMENTS,
        f"""
        SELECT id, status, settled_at, updated_at FROM payments p
        WHERE {_PAYMENTS_BETWEEN} AND status <> 'pending' AND settled_at <> updated_at""",
    ),
    Invariant(
        "key_names_one_request",
        "Every idempotency key has one payment, and the payment is what was asked for",
        Window.PAYMENTS,
        f"""
        SELECT id, idempotency_key FROM payments p
        WHERE {_PAYMENTS_BETWEEN}
          AND request_fingerprint <> sha256(convert_to(concat_ws(
              chr(31), account_id, amount::text, currency, description), 'UTF8'))""",
        """
        SELECT idempotency_key, count(*) AS payments FROM payments
        GROUP BY idempotency_key HAVING count(*) > 1""",
    ),
    Invariant(
        "no_job_is_forgotten",
        f"No job has been ready for more than {READY_JOB_AGE_SECONDS_MAX} seconds",
        Window.NONE,
        f"""
        SELECT id, payment_id, run_at FROM recon_jobs
        WHERE status = 'pending' AND run_at < now() - interval '{READY_JOB_AGE_SECONDS_MAX} s'
        ORDER BY priority, run_at, id LIMIT {OFFENDERS_SHOWN_MAX + 1}""",
    ),
)
