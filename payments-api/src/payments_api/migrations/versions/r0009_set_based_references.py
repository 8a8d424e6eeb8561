"""Triggers check a batch's references once, in place of foreign keys, and check more.

A foreign key queries for each row: 1,500 times for 500 payments, a quarter of the time of posting
them. The triggers query once, and also check that each posting matches its payment. A payment is
never deleted, so no key has to protect it.

Contract: 0.1.0 does not need the foreign keys of these two tables, and its writes satisfy the
triggers.

Revision ID: 0009
Revises: 0008
"""

from alembic import op

from payments_api.migrations.versions.r0002_guards import REFUSE_PAYMENT_CHANGE, REFUSE_UNBALANCED

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

FOREIGN_KEYS = {
    "ledger_entries": "ledger_entries_payment_id_fkey",
    "reconciliation_results": "reconciliation_results_payment_id_fkey",
}

# Each payment is looked up by its own subquery, which leaves the planner no choice. A join would be
# planned when a connection first posts, when tables may be small, and that plan would stay.
REFUSE_STRAY_POSTING = """
CREATE FUNCTION refuse_stray_posting() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    broken uuid;
BEGIN
    SELECT payment_id INTO broken FROM posted GROUP BY payment_id
    HAVING count(*) <> 2
        OR sum(CASE direction WHEN 'credit' THEN amount ELSE -amount END) <> 0
        OR min(currency) <> max(currency)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'unbalanced posting of payment %', broken
            USING ERRCODE = 'check_violation', CONSTRAINT = 'postings_balance',
                  HINT = 'Insert both legs, of one amount and currency, in one statement.';
    END IF;
    SELECT leg.payment_id INTO broken FROM posted AS leg
    WHERE leg.entry_type = 'payment' AND leg.amount IS DISTINCT FROM (
        SELECT amount FROM payments
        WHERE id = leg.payment_id AND status = 'completed'
            AND account_id = leg.account_id AND currency = leg.currency)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'payment % is not completed with this account, currency and amount', broken
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'postings_are_of_payments',
                  HINT = 'Complete the payment first; its posting says what the payment says.';
    END IF;
    RETURN NULL;
END $$"""

REFUSE_STRAY_RESULT = """
CREATE FUNCTION refuse_stray_result() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    broken uuid;
BEGIN
    SELECT result.payment_id INTO broken FROM recorded AS result
    WHERE (result.status = 'failed') IS DISTINCT FROM (
        SELECT status = 'failed' FROM payments
        WHERE id = result.payment_id AND status <> 'pending')
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'payment % is not settled as this result says', broken
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'results_are_of_payments',
                  HINT = 'Settle the payment first, or in the same statement.';
    END IF;
    RETURN NULL;
END $$"""

TRIGGERS = """
CREATE TRIGGER postings_balance AFTER INSERT ON ledger_entries REFERENCING NEW TABLE AS posted
FOR EACH STATEMENT EXECUTE FUNCTION refuse_stray_posting();
CREATE TRIGGER results_are_of_payments AFTER INSERT ON reconciliation_results
REFERENCING NEW TABLE AS recorded
FOR EACH STATEMENT EXECUTE FUNCTION refuse_stray_result()"""

# A trigger before an update first locks each row, with a log record for each; a trigger after it
# only reads. Either way, a rejected update is undone.
LOOK_AFTERWARDS = REFUSE_PAYMENT_CHANGE.replace("BEFORE UPDATE", "AFTER UPDATE")

# A page holds both versions of all its rows; at 55 a quarter of the updates went to another page.
FILLFACTOR = 45


def upgrade() -> None:
    """Replace the keys by triggers, so that one of them is in force at every moment."""
    op.execute(REFUSE_STRAY_POSTING)
    op.execute(REFUSE_STRAY_RESULT)
    op.execute("DROP TRIGGER postings_balance ON ledger_entries")
    for statement in TRIGGERS.split(";"):
        op.execute(statement)
    op.execute("DROP FUNCTION refuse_unbalanced()")
    for table, key in FOREIGN_KEYS.items():
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {key}")
    op.execute("DROP TRIGGER settled_payments_never_change ON payments")
    op.execute(LOOK_AFTERWARDS)
    op.execute(f"ALTER TABLE payments SET (fillfactor = {FILLFACTOR})")


def downgrade() -> None:
    """Restore the keys, which check every existing row."""
    op.execute("ALTER TABLE payments RESET (fillfactor, autovacuum_vacuum_scale_factor)")
    op.execute("ALTER TABLE payments SET (fillfactor = 55, autovacuum_vacuum_scale_factor = 0.05)")
    op.execute("DROP TRIGGER settled_payments_never_change ON payments")
    op.execute(REFUSE_PAYMENT_CHANGE)
    for table, key in FOREIGN_KEYS.items():
        op.execute(
            f"ALTER TABLE {table} ADD CONSTRAINT {key}"
            " FOREIGN KEY (payment_id) REFERENCES payments (id)"
        )
    op.execute("DROP FUNCTION refuse_stray_posting() CASCADE")
    op.execute("DROP FUNCTION refuse_stray_result() CASCADE")
    op.execute(REFUSE_UNBALANCED)
    op.execute(
        "CREATE TRIGGER postings_balance AFTER INSERT ON ledger_entries"
        " REFERENCING NEW TABLE AS posted"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_unbalanced()"
    )
