"""Triggers that keep history append-only and every posting balanced.

Revision ID: 0002
Revises: 0001
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

APPEND_ONLY_TABLES = ("ledger_entries", "reconciliation_results", "operator_actions")

REFUSE_CHANGE = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on %: what is recorded there is never changed', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation',
              HINT = 'Record a new row that corrects it.';
END $$"""

# Only these columns of a payment may change, and only while it is pending.
REFUSE_PAYMENT_CHANGE = """
CREATE TRIGGER settled_payments_never_change BEFORE UPDATE ON payments FOR EACH ROW
WHEN (OLD.status <> 'pending'
      OR (OLD.id, OLD.idempotency_key, OLD.request_fingerprint, OLD.account_id, OLD.amount,
          OLD.currency, OLD.description, OLD.created_at)
         IS DISTINCT FROM
         (NEW.id, NEW.idempotency_key, NEW.request_fingerprint, NEW.account_id, NEW.amount,
          NEW.currency, NEW.description, NEW.created_at))
EXECUTE FUNCTION refuse_change()"""

REFUSE_UNBALANCED = """
CREATE FUNCTION refuse_unbalanced() RETURNS trigger LANGUAGE plpgsql AS $$
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
            USING ERRCODE = 'check_violation',
                  HINT = 'Insert both legs, of one amount and currency, in one statement.';
    END IF;
    RETURN NULL;
END $$"""


def upgrade() -> None:
    """Create triggers that raise: a rule that silently drops a change would hide the mistake."""
    op.execute(REFUSE_CHANGE)
    op.execute(REFUSE_UNBALANCED)
    for table in APPEND_ONLY_TABLES:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
    for table in (*APPEND_ONLY_TABLES, "payments"):
        op.execute(
            f"CREATE TRIGGER {table}_never_truncated BEFORE TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
    op.execute(REFUSE_PAYMENT_CHANGE)
    op.execute(
        "CREATE TRIGGER payments_never_deleted BEFORE DELETE ON payments"
        " FOR EACH ROW EXECUTE FUNCTION refuse_change()"
    )
    op.execute(
        "CREATE TRIGGER postings_balance AFTER INSERT ON ledger_entries"
        " REFERENCING NEW TABLE AS posted"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_unbalanced()"
    )


def downgrade() -> None:
    """Drop the triggers with their functions; the tables stay."""
    op.execute("DROP FUNCTION refuse_unbalanced() CASCADE")
    op.execute("DROP FUNCTION refuse_change() CASCADE")
