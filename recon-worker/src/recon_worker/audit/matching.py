"""The invariants of matching: each match, and the open lines and entries.

Their SQL is written anew, on purpose by other code than the rules'. `:lo` and `:hi` bound the ids
of recon_matches.
"""

from recon_worker.audit.invariant import Invariant, Window

_SIGNED = "CASE entry.direction WHEN 'debit' THEN entry.amount ELSE -entry.amount END"
_ITEM = f"""
        SELECT coalesce(line.amount, {_SIGNED}) AS amount,
               coalesce(least(greatest(line.booked_on, statement.from_on), statement.to_on),
                        (entry.created_at AT TIME ZONE source.time_zone)::date) AS booked_on"""
# The matches of the window with what their legs say and what the legs' items say.
_LEGS = f"""
    FROM recon_matches AS match LEFT JOIN match_legs AS leg ON leg.match_id = match.id
    LEFT JOIN statement_lines AS line ON leg.side = 'line' AND line.id = leg.item_id
    LEFT JOIN statements AS statement ON statement.id = line.statement_id
    LEFT JOIN ledger_entries AS entry ON leg.side = 'entry' AND entry.id = leg.item_id
        AND entry.entry_type = 'clearing'
    LEFT JOIN recon_sources AS source ON source.id = match.source_id
    LEFT JOIN recon_runs AS run ON run.id = match.run_id
    CROSS JOIN LATERAL ({_ITEM}) AS item
    WHERE match.id > :lo AND match.id <= :hi"""

_WRITTEN = (
    """coalesce(reversal.reference, reversal.id::text, payment.reference, payment.id::text)"""
)
_BARE = f"replace({_WRITTEN}, '-', '')"
_REFERENCE = f"""CASE WHEN {_BARE} ~* '^[0-9a-f]{{32}}$' THEN lower({_BARE})
           ELSE {_WRITTEN} END"""
# Of every entry that a cut has passed, and of every adjustment's: its source, by the same words as
# docs/data-model.md.
_CUT_ENTRIES = f"""
    SELECT entry.id, source.id AS source_id, {_SIGNED} AS amount, entry.currency,
           entry.payment_id, {_REFERENCE} AS reference,
           (entry.created_at AT TIME ZONE source.time_zone)::date AS booked_on
    FROM ledger_entries AS entry JOIN payments AS payment ON payment.id = entry.payment_id
    LEFT JOIN reversals AS reversal ON reversal.id = entry.reversal_id
    JOIN recon_sources AS source
        ON (source.channel, source.currency) = (payment.source, entry.currency)
    JOIN recon_cuts AS cut ON cut.source_id = source.id AND entry.id <= cut.entry_id
    WHERE entry.entry_type = 'clearing'
      AND (source.tenant IS NULL OR payment.account_id LIKE source.tenant || '~%')
    UNION ALL
    SELECT entry.id, source.id, {_SIGNED}, entry.currency, entry.payment_id,
           replace(adjustment.id::text, '-', ''),
           (entry.created_at AT TIME ZONE source.time_zone)::date
    FROM ledger_entries AS entry
    JOIN recon_adjustments AS adjustment ON adjustment.id = entry.payment_id
    JOIN recon_sources AS source ON source.id = adjustment.source_id
    WHERE entry.entry_type = 'clearing' AND entry.posting_kind = 'adjustment'"""

MATCHING_INVARIANTS = (
    Invariant(
        "match_legs_are_borne_out",
        Window.MATCHES,
        f"""
        SELECT match.id, sum(CASE leg.side WHEN 'line' THEN leg.amount ELSE -leg.amount END)
               AS difference
        {_LEGS}
        GROUP BY match.id, source.id, run.id
        HAVING sum(CASE leg.side WHEN 'line' THEN leg.amount ELSE -leg.amount END)
                   IS DISTINCT FROM 0
            OR least(count(*) FILTER (WHERE leg.side = 'line'),
                     count(*) FILTER (WHERE leg.side = 'entry')) <> 1
            OR bool_or(leg.amount IS DISTINCT FROM item.amount)
            OR bool_or(leg.booked_on IS DISTINCT FROM item.booked_on)
            OR bool_or(line.source_id <> match.source_id)
            OR bool_or(leg.active = (match.undone_at IS NOT NULL))
            OR bool_or((leg.side = 'line') <> (leg.former_status IS NOT NULL))
            OR bool_or(coalesce(leg.former_status, 'unmatched') = 'unmatched'
                       AND leg.former_reason IS NOT NULL)
            OR (min(leg.booked_on), max(leg.booked_on))
               IS DISTINCT FROM (match.first_on, match.last_on)
            OR source.id IS NULL OR (match.run_id IS NULL) <> (match.rule = 'manual')
            OR (match.actor IS NULL) = (match.rule = 'manual')
            OR (match.run_id IS NULL) <> (run.id IS NULL)
            OR bool_or(run.source_id <> match.source_id)
            OR match.score IS DISTINCT FROM CASE match.rule WHEN 'reference' THEN 100
               WHEN 'bank_reference' THEN 95 WHEN 'batch_sum' THEN 90
               WHEN 'amount_and_date' THEN 70 WHEN 'manual' THEN 100 END""",
        """
        SELECT leg.match_id AS id, leg.side, leg.item_id
        FROM match_legs AS leg LEFT JOIN recon_matches AS match ON match.id = leg.match_id
        WHERE match.id IS NULL OR leg.side NOT IN ('line', 'entry')""",
    ),
    Invariant(
        "line_matched_once",
        Window.MATCHES,
        """
        SELECT leg.match_id AS id, leg.item_id AS line_id, line.status
        FROM match_legs AS leg LEFT JOIN statement_lines AS line ON line.id = leg.item_id
        WHERE leg.match_id > :lo AND leg.match_id <= :hi AND leg.side = 'line' AND leg.active
          AND (coalesce(line.status, '') NOT IN ('matched', 'returned')
               OR (SELECT count(*) FROM match_legs AS other WHERE other.item_id = leg.item_id
                     AND other.side = 'line' AND other.active) <> 1)""",
        """
        SELECT line.id AS line_id, line.status FROM statement_lines AS line
        WHERE line.status IN ('matched', 'returned') AND NOT EXISTS (
            SELECT FROM match_legs AS leg
            WHERE leg.item_id = line.id AND leg.side = 'line' AND leg.active)
        UNION ALL
        SELECT line.id, line.status FROM statement_lines AS line
        JOIN statements AS statement ON statement.id = line.statement_id
        WHERE line.status IN ('explained', 'ignored') AND line.booking = 'booked'
          AND statement.kind = 'statement' AND NOT EXISTS (
            SELECT FROM operator_actions AS act
            WHERE act.subject = 'line ' || line.id AND act.action IN ('explain', 'ignore'))""",
    ),
    Invariant(
        "entry_matched_once",
        Window.MATCHES,
        """
        SELECT leg.match_id AS id, leg.item_id AS entry_id
        FROM match_legs AS leg
        WHERE leg.match_id > :lo AND leg.match_id <= :hi AND leg.side = 'entry' AND leg.active
          AND (EXISTS (SELECT FROM open_entries AS open WHERE open.entry_id = leg.item_id)
               OR (SELECT count(*) FROM match_legs AS other WHERE other.item_id = leg.item_id
                     AND other.side = 'entry' AND other.active) <> 1)""",
        f"""
        SELECT coalesce(open.entry_id, entry.id) AS entry_id
        FROM (SELECT id, bool_or(source_id IS NOT NULL) AS owned FROM ({_CUT_ENTRIES}) AS cut
              GROUP BY id) AS entry
        LEFT JOIN match_legs AS leg
            ON leg.item_id = entry.id AND leg.side = 'entry' AND leg.active
        FULL JOIN open_entries AS open ON open.entry_id = entry.id
        WHERE entry.id IS NULL OR (open.entry_id IS NULL) = (leg.item_id IS NULL)
        UNION ALL
        SELECT open.entry_id FROM open_entries AS open
        LEFT JOIN ({_CUT_ENTRIES}) AS entry
            ON entry.id = open.entry_id AND entry.source_id = open.source_id
        WHERE (open.amount, open.currency, open.reference, open.booked_on, open.payment_id)
              IS DISTINCT FROM
              (entry.amount, entry.currency, entry.reference, entry.booked_on, entry.payment_id)
           OR open.break_on IS DISTINCT FROM open.booked_on + (
                  SELECT grace_days FROM recon_sources WHERE id = open.source_id)
        UNION ALL
        SELECT cut.entry_id FROM recon_cuts AS cut
        LEFT JOIN recon_sources AS source ON source.id = cut.source_id
        WHERE source.id IS NULL OR cut.entry_id > (
                  SELECT coalesce(max(id), 0) FROM ledger_entries)""",
    ),
    Invariant(
        "bridge_leaves_nothing_over",
        Window.MATCHES,
        """
        SELECT match.id FROM recon_matches AS match
        WHERE match.id > :lo AND match.id <= :hi AND match.first_on > match.last_on""",
        """
        SELECT coalesce(day.source_id, item.source_id) AS source_id,
               coalesce(day.booked_on, item.booked_on) AS booked_on, day.amount, item.amount AS sum
        FROM recon_days AS day FULL JOIN (
            SELECT source_id, booked_on, sum(amount) AS amount, count(*) AS entries FROM (
                SELECT source_id, booked_on, amount FROM open_entries
                UNION ALL
                SELECT match.source_id, leg.booked_on, leg.amount FROM match_legs AS leg
                JOIN recon_matches AS match ON match.id = leg.match_id
                WHERE leg.side = 'entry' AND leg.active) AS each
            GROUP BY source_id, booked_on
        ) AS item ON (item.source_id, item.booked_on) = (day.source_id, day.booked_on)
        WHERE (day.amount, day.entries) IS DISTINCT FROM (item.amount, item.entries)
        UNION ALL
        SELECT NULL, NULL, version, NULL FROM recon_rule_sets
        WHERE sha256 <> sha256(convert_to(rules, 'UTF8'))""",
    ),
    Invariant(
        "break_is_of_its_item",
        Window.MATCHES,
        """
        SELECT leg.match_id AS id, each.id AS break_id
        FROM match_legs AS leg
        JOIN recon_breaks AS each ON (each.side, each.item_id) = (leg.side, leg.item_id)
        WHERE leg.match_id > :lo AND leg.match_id <= :hi AND leg.active
          AND each.resolved_at IS NULL""",
        f"""
        SELECT each.id AS break_id, each.side, each.item_id
        FROM recon_breaks AS each
        LEFT JOIN statement_lines AS line ON each.side = 'line' AND line.id = each.item_id
        LEFT JOIN statements AS statement ON statement.id = line.statement_id
        LEFT JOIN ledger_entries AS entry ON each.side = 'entry' AND entry.id = each.item_id
        LEFT JOIN open_entries AS open ON each.side = 'entry' AND open.entry_id = each.item_id
        LEFT JOIN recon_sources AS source ON source.id = each.source_id
        CROSS JOIN LATERAL ({_ITEM}) AS item
        WHERE each.id <> encode(sha256(convert_to(
                  concat_ws('|', each.source_id, each.class, each.side, each.item_id),
                  'UTF8')), 'hex')
           OR (each.class, each.side)
              NOT IN (('bank_only', 'line'), ('missing_in_bank', 'entry'))
           OR coalesce(line.source_id, open.source_id, each.source_id) <> each.source_id
           OR (each.amount, each.opened_on, each.break_on) IS DISTINCT FROM
              (item.amount, item.booked_on, item.booked_on + source.grace_days)
           OR (each.resolved_at IS NULL) IS DISTINCT FROM (
                  coalesce(line.status, '') IN ('unmatched', 'suggested')
                  OR open.entry_id IS NOT NULL)
           OR (each.resolved_at IS NULL) <> (each.resolved_by IS NULL)""",
    ),
    Invariant(
        "run_reported_its_matches",
        Window.MATCHES,
        """
        SELECT match.id, match.run_id
        FROM recon_matches AS match JOIN recon_runs AS run ON run.id = match.run_id
        WHERE match.id > :lo AND match.id <= :hi AND match.undone_at IS NOT NULL
          AND match.undone_reason IS NULL AND run.undone_at IS NULL""",
        """
        SELECT run.id AS run_id, run.counts::text AS counts
        FROM recon_runs AS run LEFT JOIN (
            SELECT run_id, jsonb_object_agg(rule, matches) AS matches, sum(lines) AS lines,
                   sum(entries) AS entries
            FROM (SELECT match.run_id, match.rule, count(DISTINCT match.id) AS matches,
                         count(*) FILTER (WHERE leg.side = 'line') AS lines,
                         count(*) FILTER (WHERE leg.side = 'entry') AS entries
                  FROM recon_matches AS match JOIN match_legs AS leg ON leg.match_id = match.id
                  WHERE match.run_id IS NOT NULL GROUP BY match.run_id, match.rule) AS of_rule
            GROUP BY run_id) AS made ON made.run_id = run.id
        WHERE run.finished_at IS NOT NULL
          AND (run.counts -> 'matches', (run.counts ->> 'lines')::bigint,
               (run.counts ->> 'entries')::bigint) IS DISTINCT FROM
              (coalesce(made.matches, '{}'), coalesce(made.lines, 0), coalesce(made.entries, 0))
        UNION ALL
        SELECT taken.id, 'unknown rule set ' || taken.rule_set
        FROM (SELECT id, rule_set FROM recon_runs
              UNION ALL SELECT NULL, rule_set FROM recon_sources) AS taken
        WHERE NOT EXISTS (SELECT FROM recon_rule_sets WHERE version = taken.rule_set)""",
    ),
)
