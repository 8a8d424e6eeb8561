"""The invariants of the books, each a query that returns the rows that violate it.

A posting commits as a whole and a query sees one snapshot, so the queries may run beside a busy
worker. `:lo` and `:hi` bound a query's window of ids: of ledger_entries, of
reconciliation_results, of recon_matches, or of payments. Between two tables a query finds missing
rows as well as wrong ones: an inner join would miss a posting or a result whose payment is gone.
The rules are applied again in SQL, on purpose by other code than the worker's.
"""

from payments_core.domain.invariants import READY_JOB_AGE_SECONDS_MAX
from recon_worker.audit.adjustments import ADJUSTMENT_INVARIANTS
from recon_worker.audit.events import EVENT_INVARIANTS
from recon_worker.audit.invariant import (
    OFFENDERS_SHOWN_MAX,
    PAYMENTS_BETWEEN,
    SETTLED,
    SOURCE_OF_CLEARING,
    Invariant,
    Window,
)
from recon_worker.audit.matching import MATCHING_INVARIANTS
from recon_worker.audit.reversal_invariants import REVERSAL_INVARIANTS
from recon_worker.audit.statements import STATEMENT_INVARIANTS

# An entry's predecessor is usually in the window too. Where it is not, about once for each account,
# far_seq is the sequence number to look up.
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

# Whether a result follows from its payment under its rule_version. A version is never changed, and
# stays here while results of it exist; a result with another version is a violation. Version 0 is
# an operator's decision, which operator_actions records.
_BY_VERSION = """
    WHEN 0 THEN r.status = 'failed' AND r.recon_job_id IN (
        SELECT unnest(job_ids) FROM operator_actions WHERE action = 'discard')
    WHEN 1 THEN CASE
        WHEN p.amount < 0 THEN r.status = 'failed' AND r.discrepancy_amount IS NULL
            AND r.notes = 'Negative amount not allowed'
        WHEN p.amount = 0 THEN r.status = 'failed' AND r.discrepancy_amount IS NULL
            AND r.notes = 'Zero amount not allowed'
        WHEN p.amount - trunc(p.amount) = 0.13 THEN r.status = 'completed_with_discrepancy'
            AND r.discrepancy_amount = 0.13 AND r.notes = 'Discrepancy of 0.13 detected'
        WHEN p.amount > 0 THEN r.status = 'completed' AND r.discrepancy_amount IS NULL
            AND r.notes = 'Reconciled'
        END"""

# When a payment changed last, by its status. A status that is not here breaks the invariant.
_CHANGED_AT = f"""
    WHEN status = 'pending' THEN created_at
    WHEN {SETTLED} THEN settled_at"""

# The only rule for reversals is of version 1.
_OF_REVERSAL = """r.rule_version = 1 AND r.status = 'completed' AND r.notes = 'Reversed'
                    AND r.discrepancy_amount IS NULL"""

INVARIANTS = (
    Invariant(
        "posting_balances",
        Window.ENTRIES,
        f"""
        SELECT e.payment_id, count(*) AS legs
        FROM ledger_entries e LEFT JOIN payments p
            ON p.id = e.payment_id AND p.status = 'completed'
        WHERE e.payment_id IN ({_TOUCHED_PAYMENTS}) AND e.reversal_id IS NULL
          AND e.posting_kind <> 'adjustment'
        GROUP BY e.payment_id
        HAVING count(*) <> 2 OR count(p.id) <> 2
            OR count(*) FILTER (WHERE e.direction = 'credit' AND e.entry_type = 'payment'
                                AND e.account_id = p.account_id) <> 1
            OR count(*) FILTER (WHERE e.direction = 'debit' AND e.entry_type = 'clearing'
                                AND {SOURCE_OF_CLEARING} = p.source) <> 1
            OR bool_or(e.amount <> p.amount) OR bool_or(e.currency <> p.currency)""",
    ),
    Invariant(
        "currencies_sum_to_zero",
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
        Window.ENTRIES,
        f"""
        SELECT e.id, e.account_id, e.currency, e.account_seq, e.balance_after
        {_WITH_PREVIOUS} e.balance_after <> coalesce(before.balance_after, 0)
              + CASE e.direction WHEN 'credit' THEN e.amount ELSE -e.amount END""",
    ),
    Invariant(
        "sequence_has_no_gap",
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
        Window.ENTRIES,
        """
        SELECT touched.account_id, touched.currency, a.seq, a.balance
        FROM (SELECT DISTINCT account_id, currency FROM ledger_entries
              WHERE id > :lo AND id <= :hi) AS touched
        LEFT JOIN accounts a USING (account_id, currency)
        LEFT JOIN LATERAL (
            SELECT account_seq, balance_after, created_at FROM ledger_entries e
            WHERE (e.account_id, e.currency) = (touched.account_id, touched.currency)
            ORDER BY account_seq DESC LIMIT 1) AS last ON true
        WHERE (a.seq, a.balance, a.updated_at) IS DISTINCT FROM
              (last.account_seq, last.balance_after, last.created_at)""",
        """
        SELECT account_id, currency, a.balance, a.seq, a.debits, a.credits, a.updated_at
        FROM accounts a FULL JOIN (
            SELECT account_id, currency, max(account_seq) AS seq, max(created_at) AS last_at,
                   coalesce(sum(amount) FILTER (WHERE direction = 'debit'), 0) AS debits,
                   coalesce(sum(amount) FILTER (WHERE direction = 'credit'), 0) AS credits
            FROM ledger_entries GROUP BY account_id, currency
        ) AS summed USING (account_id, currency)
        WHERE (a.balance, a.seq, a.debits, a.credits, a.updated_at) IS DISTINCT FROM
              (summed.credits - summed.debits, summed.seq, summed.debits, summed.credits,
               summed.last_at)""",
    ),
    Invariant(
        "time_runs_forward",
        Window.ENTRIES,
        f"""
        SELECT e.id, e.account_id, e.currency, e.account_seq, e.created_at
        {_WITH_PREVIOUS} before.created_at > e.created_at""",
    ),
    Invariant(
        "status_result_and_ledger_agree",
        Window.RESULTS,
        f"""
        SELECT r.payment_id, p.status, r.status AS result, entries.n AS entries
        FROM reconciliation_results r LEFT JOIN payments p ON p.id = r.payment_id
        CROSS JOIN LATERAL (
            SELECT count(*) AS n FROM ledger_entries e
            WHERE e.payment_id = p.id AND e.reversal_id IS NULL
              AND e.posting_kind <> 'adjustment') AS entries
        WHERE r.id > :lo AND r.id <= :hi AND r.reversal_id IS NULL
          AND (p.id IS NULL OR NOT p.{SETTLED}
               OR (p.status = 'failed') <> (r.status = 'failed')
               OR entries.n <> CASE p.status WHEN 'completed' THEN 2 ELSE 0 END)""",
        f"""
        SELECT coalesce(p.id, r.payment_id, e.payment_id) AS payment_id, p.status,
               r.status AS result, coalesce(e.n, 0) AS entries
        FROM payments p
        FULL JOIN (SELECT * FROM reconciliation_results WHERE reversal_id IS NULL) AS r
            ON r.payment_id = p.id
        FULL JOIN (SELECT payment_id, count(*) AS n FROM ledger_entries
                   WHERE reversal_id IS NULL AND posting_kind <> 'adjustment' GROUP BY 1) AS e
            ON e.payment_id = coalesce(p.id, r.payment_id)
        WHERE p.id IS NULL OR (p.{SETTLED}) <> (r.id IS NOT NULL)
           OR coalesce(e.n, 0) <> CASE p.status WHEN 'completed' THEN 2 ELSE 0 END""",
    ),
    Invariant(
        "outcome_follows_the_rules",
        Window.RESULTS,
        f"""
        SELECT r.payment_id, r.reversal_id, p.amount, r.status AS result, r.discrepancy_amount,
               r.notes, r.rule_version
        FROM reconciliation_results r LEFT JOIN payments p ON p.id = r.payment_id
        WHERE r.id > :lo AND r.id <= :hi
          AND (r.matched = (r.status = 'completed')
               AND CASE WHEN r.reversal_id IS NOT NULL AND r.rule_version <> 0
               THEN {_OF_REVERSAL} ELSE CASE r.rule_version {_BY_VERSION} END END)
              IS NOT TRUE""",
    ),
    Invariant(
        "pending_has_one_live_job",
        Window.PAYMENTS,
        f"""
        SELECT p.id, p.status, j.id AS job_id, j.status AS job_status
        FROM payments p LEFT JOIN recon_jobs j ON j.payment_id = p.id
        WHERE {PAYMENTS_BETWEEN}
          AND (p.{SETTLED}) = coalesce(j.status <> 'completed', false)""",
        """
        SELECT j.payment_id, p.status, j.id AS job_id, r.recon_job_id AS job_id_of_result
        FROM recon_jobs j LEFT JOIN payments p ON p.id = j.payment_id
        LEFT JOIN reconciliation_results r ON r.payment_id = j.payment_id
        WHERE j.reversal_id IS NULL AND (p.id IS NULL OR r.recon_job_id <> j.id)""",
    ),
    Invariant(
        "settled_once",
        Window.PAYMENTS,
        f"""
        SELECT id, status, created_at, settled_at, updated_at FROM payments p
        WHERE {PAYMENTS_BETWEEN}
          AND ((p.{SETTLED}) <> (settled_at IS NOT NULL)
               OR updated_at IS DISTINCT FROM CASE {_CHANGED_AT} END)""",
    ),
    Invariant(
        "key_names_one_request",
        Window.PAYMENTS,
        f"""
        SELECT id, idempotency_key FROM payments p
        WHERE {PAYMENTS_BETWEEN}
          AND request_fingerprint <> sha256(convert_to(
              CASE WHEN reference IS NULL AND metadata IS NULL AND source = 'default'
              THEN concat_ws(chr(31), account_id, amount::text, currency, description)
              ELSE concat_ws(chr(31), '', account_id, amount::text, currency, source,
                             coalesce(reference, ''), coalesce(metadata::text, '{{}}'), description)
              END, 'UTF8'))""",
        """
        SELECT idempotency_key, count(*) AS payments FROM payments
        GROUP BY idempotency_key HAVING count(*) > 1""",
    ),
    *REVERSAL_INVARIANTS,
    Invariant(
        "no_job_is_forgotten",
        Window.NONE,
        f"""
        SELECT id, payment_id, run_at FROM recon_jobs
        WHERE status = 'pending' AND run_at < now() - interval '{READY_JOB_AGE_SECONDS_MAX} s'
        ORDER BY priority, run_at, id LIMIT {OFFENDERS_SHOWN_MAX + 1}""",
    ),
    *STATEMENT_INVARIANTS,
    *MATCHING_INVARIANTS,
    *ADJUSTMENT_INVARIANTS,
    *EVENT_INVARIANTS,
)
