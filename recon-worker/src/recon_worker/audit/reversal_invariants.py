"""The invariants of reversals, as those of payments in `invariants`.

Reversals have no ids in sequence. Their results do, so an incremental audit checks a reversal when
it settles, and a full audit checks all.
"""

from recon_worker.audit.invariant import SETTLED, SOURCE_OF_CLEARING, Invariant, Window

_IN_WINDOW = "res.id > :lo AND res.id <= :hi AND res.reversal_id IS NOT NULL"
_SETTLED_IN_WINDOW = f"SELECT res.reversal_id FROM reconciliation_results res WHERE {_IN_WINDOW}"
_REVERSED_IN_WINDOW = f"SELECT payment_id FROM reversals WHERE id IN ({_SETTLED_IN_WINDOW})"

# The fingerprint of a request with the amount, and of one without: a reversal of the rest.
_FINGERPRINT = """sha256(convert_to(concat_ws(
    chr(31), 'reversal', r.payment_id::text, {amount}, coalesce(r.reference, ''),
    coalesce(r.metadata::text, '{{}}'), r.reason), 'UTF8'))"""

_NOT_OF_ITS_PAYMENT = f"""
    SELECT r.id AS reversal_id, r.payment_id FROM reversals r
    LEFT JOIN payments p ON p.id = r.payment_id AND p.status = 'completed'
    WHERE ((r.account_id, r.currency, r.source)
               IS DISTINCT FROM (p.account_id, p.currency, p.source)
           OR (r.{SETTLED}) <> (r.settled_at IS NOT NULL)
           OR r.updated_at <> coalesce(r.settled_at, r.created_at)
           OR r.request_fingerprint NOT IN ({_FINGERPRINT.format(amount="r.amount::text")},
                                            {_FINGERPRINT.format(amount="''")}))"""
_BEYOND_THE_PAYMENT = """
    SELECT coalesce(r.payment_id, t.payment_id) AS payment_id, p.amount, r.reserved,
           t.reserved AS recorded
    FROM (
        SELECT payment_id, coalesce(sum(amount) FILTER (WHERE status <> 'failed'), 0) AS reserved
        FROM reversals {touched} GROUP BY payment_id
    ) AS r {join} JOIN reversal_totals t ON t.payment_id = r.payment_id
    LEFT JOIN payments p ON p.id = coalesce(r.payment_id, t.payment_id)
    WHERE (p.amount, r.reserved) IS DISTINCT FROM (t.amount, t.reserved)
       OR (r.reserved <= p.amount) IS NOT TRUE"""

REVERSAL_INVARIANTS = (
    Invariant(
        "reversal_posting_balances",
        Window.ENTRIES,
        f"""
        SELECT e.reversal_id, e.payment_id, count(*) AS legs
        FROM ledger_entries e LEFT JOIN reversals r
            ON r.id = e.reversal_id AND r.payment_id = e.payment_id AND r.status = 'completed'
        WHERE (e.payment_id, e.reversal_id) IN (
            SELECT payment_id, reversal_id FROM ledger_entries
            WHERE id > :lo AND id <= :hi AND reversal_id IS NOT NULL)
        GROUP BY e.reversal_id, e.payment_id
        HAVING count(*) <> 2 OR count(r.id) <> 2
            OR count(*) FILTER (WHERE e.direction = 'debit' AND e.entry_type = 'reversal'
                                AND e.account_id = r.account_id) <> 1
            OR count(*) FILTER (WHERE e.direction = 'credit' AND e.entry_type = 'clearing'
                                AND {SOURCE_OF_CLEARING} = r.source) <> 1
            OR bool_or(e.amount <> r.amount) OR bool_or(e.currency <> r.currency)
            OR bool_or(e.posting_kind <> 'reversal')""",
    ),
    Invariant(
        "reversal_result_and_ledger_agree",
        Window.RESULTS,
        f"""
        SELECT res.reversal_id, r.payment_id, r.status, res.status AS result, entries.n AS entries
        FROM reconciliation_results res LEFT JOIN reversals r ON r.id = res.reversal_id
        CROSS JOIN LATERAL (
            SELECT count(*) AS n FROM ledger_entries e
            WHERE e.payment_id = r.payment_id AND e.reversal_id = r.id) AS entries
        WHERE {_IN_WINDOW}
          AND (r.id IS NULL OR NOT r.{SETTLED}
               OR (r.status = 'failed') <> (res.status = 'failed')
               OR entries.n <> CASE r.status WHEN 'completed' THEN 2 ELSE 0 END)""",
        f"""
        SELECT coalesce(r.id, res.reversal_id, e.reversal_id) AS reversal_id, r.payment_id,
               r.status, res.status AS result, coalesce(e.n, 0) AS entries
        FROM reversals r
        FULL JOIN (SELECT * FROM reconciliation_results WHERE reversal_id IS NOT NULL) AS res
            ON res.reversal_id = r.id
        FULL JOIN (SELECT reversal_id, count(*) AS n FROM ledger_entries
                   WHERE reversal_id IS NOT NULL GROUP BY 1) AS e
            ON e.reversal_id = coalesce(r.id, res.reversal_id)
        WHERE r.id IS NULL OR (r.{SETTLED}) <> (res.id IS NOT NULL)
           OR coalesce(e.n, 0) <> CASE r.status WHEN 'completed' THEN 2 ELSE 0 END""",
    ),
    Invariant(
        "open_reversal_has_one_live_job",
        Window.RESULTS,
        f"""
        SELECT res.reversal_id, (SELECT payment_id FROM reversals WHERE id = res.reversal_id)
                   AS payment_id, j.id AS job_id, j.status AS job_status
        FROM reconciliation_results res JOIN recon_jobs j ON j.reversal_id = res.reversal_id
        WHERE {_IN_WINDOW} AND j.status <> 'completed'""",
        f"""
        SELECT coalesce(r.id, j.reversal_id) AS reversal_id, r.payment_id, r.status,
               j.id AS job_id, j.status AS job_status
        FROM reversals r
        FULL JOIN (SELECT * FROM recon_jobs WHERE reversal_id IS NOT NULL) AS j
            ON j.reversal_id = r.id
        LEFT JOIN reconciliation_results res ON res.reversal_id = j.reversal_id
        WHERE r.id IS NULL OR res.recon_job_id <> j.id OR j.payment_id IS NOT NULL
           OR (r.{SETTLED}) = coalesce(j.status <> 'completed', false)""",
    ),
    Invariant(
        "reversals_stay_within_their_payment",
        Window.RESULTS,
        _BEYOND_THE_PAYMENT.format(
            touched=f"WHERE payment_id IN ({_REVERSED_IN_WINDOW})", join="LEFT"
        ),
        _BEYOND_THE_PAYMENT.format(touched="", join="FULL"),
    ),
    Invariant(
        "reversal_is_of_its_payment",
        Window.RESULTS,
        f"{_NOT_OF_ITS_PAYMENT} AND r.id IN ({_SETTLED_IN_WINDOW})",
        _NOT_OF_ITS_PAYMENT,
    ),
)
