"""The settlement of a payment: the statement line by which the bank confirms it."""

# Of the row of `payments` in the enclosing statement, as JSON; NULL without an active match. OFFSET
# 0 keeps one look-up for each step, whatever statistics say of tables that were small.
SETTLEMENT = """(
    SELECT jsonb_build_object(
        'source', source.name, 'tenant', source.tenant, 'file', statement.file_id,
        'line', line.id, 'on', line.booked_on, 'match', match.id, 'rule', match.rule,
        'at', match.created_at)
    FROM ledger_entries AS entry
    CROSS JOIN LATERAL (
        SELECT match_id FROM match_legs
        WHERE item_id = entry.id AND side = 'entry' AND active OFFSET 0) AS leg
    CROSS JOIN LATERAL (
        SELECT id, source_id, rule, created_at FROM recon_matches
        WHERE id = leg.match_id OFFSET 0) AS match
    CROSS JOIN LATERAL (
        SELECT item_id FROM match_legs
        WHERE match_id = leg.match_id AND side = 'line' ORDER BY item_id LIMIT 1) AS first
    CROSS JOIN LATERAL (
        SELECT id, statement_id, booked_on FROM statement_lines
        WHERE id = first.item_id OFFSET 0) AS line
    CROSS JOIN LATERAL (
        SELECT file_id FROM statements WHERE id = line.statement_id OFFSET 0) AS statement
    CROSS JOIN LATERAL (
        SELECT name, tenant FROM recon_sources WHERE id = match.source_id OFFSET 0) AS source
    WHERE entry.payment_id = payments.id AND entry.entry_type = 'clearing'
      AND entry.reversal_id IS NULL
    LIMIT 1)"""
