"""The invariants of adjustments: two people, two legs, and a line that they explain.

An incremental audit reads the adjustments of the last hour, a full one all of them.
"""

from recon_worker.audit.invariant import SOURCE_OF_CLEARING, Invariant, Window

_CHANGED_AT = "greatest(a.proposed_at, a.decided_at, a.settled_at)"
_RECENT = f"{_CHANGED_AT} > now() - interval '1 hour'"

_OF_WINDOW = """
    SELECT payment_id FROM ledger_entries
    WHERE id > :lo AND id <= :hi AND posting_kind = 'adjustment'"""

# What both people did, by the record of it.
_ACTS = """
    (SELECT subject,
            array_agg(concat_ws(' ', action, actor, nullif(reason, '')) ORDER BY id) AS acts
     FROM operator_actions
     WHERE action IN ('propose_adjustment', 'approve_adjustment', 'reject_adjustment')
     GROUP BY subject)"""
_MATCHED = """EXISTS (
        SELECT FROM match_legs line JOIN match_legs leg
            ON leg.match_id = line.match_id AND leg.side = 'entry'
        JOIN ledger_entries e ON e.id = leg.item_id AND e.payment_id = a.id
        WHERE line.side = 'line' AND line.item_id = a.line_id AND {active} line.active)"""
_OF_TWO_PEOPLE = f"""
    SELECT a.id AS adjustment_id, a.status, a.proposed_by, a.decided_by
    FROM recon_adjustments a LEFT JOIN statement_lines l ON l.id = a.line_id {{acts}}
    WHERE {{when}}
      AND (a.status NOT IN ('proposed', 'approved', 'rejected', 'posted', 'failed')
           OR num_nulls(a.decided_by, a.decided_at)
              <> CASE a.status WHEN 'proposed' THEN 2 ELSE 0 END
           OR a.status = 'proposed' AND a.decision_reason IS NOT NULL
           OR (a.status IN ('posted', 'failed')) <> (a.settled_at IS NOT NULL)
           OR (a.status = 'failed') <> (a.failure IS NOT NULL)
           OR a.status IN ('approved', 'posted', 'failed')
              AND lower(a.proposed_by) = lower(a.decided_by)
           OR l.source_id IS DISTINCT FROM a.source_id
           OR a.amount IS DISTINCT FROM l.amount - (
                SELECT coalesce(sum(CASE direction WHEN 'debit' THEN amount ELSE -amount END), 0)
                FROM ledger_entries WHERE id = ANY (a.entry_ids))
           OR a.status = 'posted' AND NOT ({_MATCHED.format(active="")}
                OR {_MATCHED.format(active="NOT")}){{differ}})"""
_RECORDED = """
           OR coalesce(recorded.acts, '{}') <> array_remove(ARRAY[
                concat_ws(' ', 'propose_adjustment', a.proposed_by, a.kind || ': ' || a.reason),
                CASE WHEN a.status <> 'proposed' THEN concat_ws(' ',
                    CASE a.status WHEN 'rejected' THEN 'reject' ELSE 'approve' END || '_adjustment',
                    a.decided_by, a.decision_reason) END], NULL)"""
_GONE = f"""
    UNION ALL
    SELECT substr(subject, length('adjustment ') + 1)::uuid, NULL, NULL, NULL
    FROM {_ACTS} AS recorded
    WHERE NOT EXISTS (
        SELECT FROM recon_adjustments a WHERE 'adjustment ' || a.id = recorded.subject)"""

ADJUSTMENT_INVARIANTS = (
    Invariant(
        "adjustment_posting_balances",
        Window.ENTRIES,
        f"""
        SELECT e.payment_id AS adjustment_id, count(*) AS legs
        FROM ledger_entries e
        LEFT JOIN recon_adjustments a ON a.id = e.payment_id AND a.status = 'posted'
        LEFT JOIN recon_sources s ON s.id = a.source_id
        WHERE e.payment_id IN ({_OF_WINDOW})
        GROUP BY e.payment_id
        HAVING count(*) <> 2 OR count(s.id) <> 2
            OR count(*) FILTER (
                WHERE e.entry_type = 'adjustment' AND e.account_id = 'sys:adjustment:' || a.kind
                  AND e.direction = CASE WHEN a.amount > 0 THEN 'credit' ELSE 'debit' END) <> 1
            OR count(*) FILTER (
                WHERE e.entry_type = 'clearing' AND {SOURCE_OF_CLEARING} = s.channel
                  AND e.direction = CASE WHEN a.amount > 0 THEN 'debit' ELSE 'credit' END) <> 1
            OR bool_or(e.amount <> abs(a.amount)) OR bool_or(e.currency <> s.currency)
            OR bool_or(e.posting_kind <> 'adjustment' OR e.reversal_id IS NOT NULL)""",
        """
        SELECT a.id AS adjustment_id, a.status, count(e.id) AS legs
        FROM recon_adjustments a LEFT JOIN ledger_entries e ON e.payment_id = a.id
        GROUP BY a.id
        HAVING count(e.id) <> CASE a.status WHEN 'posted' THEN 2 ELSE 0 END""",
    ),
    Invariant(
        "adjustment_has_two_people",
        Window.ADJUSTMENTS,
        _OF_TWO_PEOPLE.format(when=_RECENT, acts="", differ=""),
        _OF_TWO_PEOPLE.format(
            when="true",
            acts=f"LEFT JOIN {_ACTS} AS recorded ON recorded.subject = 'adjustment ' || a.id",
            differ=_RECORDED,
        )
        + _GONE,
    ),
)
