"""A payment is open until settled_at is set: guards and CHECKs name no open status any more.

A later revision adds an open status with one CHECK, payment_status_known. For the present statuses
the new conditions mean the same as the old ones, so the running release is not affected.

Revision ID: 0015
Revises: 0014
"""

from alembic import op

from payments_api.migrations.versions.r0009_set_based_references import LOOK_AFTERWARDS
from payments_api.migrations.versions.r0011_function_paths import SAFE_PATH

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

GUARD = LOOK_AFTERWARDS.replace("CREATE TRIGGER", "CREATE OR REPLACE TRIGGER")
GUARD_OF_SETTLED = GUARD.replace("OLD.status <> 'pending'", "OLD.settled_at IS NOT NULL")

REFUSE_STRAY_RESULT = """
CREATE OR REPLACE FUNCTION public.refuse_stray_result() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off
SET search_path = {path} AS $$
DECLARE
    broken uuid;
BEGIN
    SELECT result.payment_id INTO broken FROM recorded AS result
    WHERE (result.status = 'failed') IS DISTINCT FROM (
        SELECT status = 'failed' FROM public.payments
        WHERE id = result.payment_id AND {settled})
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'payment % is not settled as this result says', broken
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'results_are_of_payments',
                  HINT = 'Settle the payment first, or in the same statement.';
    END IF;
    IF current_user = 'payments_api' AND EXISTS (
        SELECT FROM recorded WHERE status <> 'failed' OR rule_version <> 0) THEN
        RAISE EXCEPTION 'the API records discarded payments alone'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'results_are_of_rules',
                  HINT = 'Leave what the rules decide to the worker.';
    END IF;
    RETURN NULL;
END $$"""

SETTLED_HAS_A_TIME = "(status IN ('completed', 'failed')) = (settled_at IS NOT NULL)"
ONLY_PENDING_HAS_NONE = "(status = 'pending') = (settled_at IS NULL)"
DROP_CHECK = "ALTER TABLE payments DROP CONSTRAINT settled_has_a_time"
ADD_CHECK = "ALTER TABLE payments ADD CONSTRAINT settled_has_a_time CHECK"


def upgrade() -> None:
    """Replace each condition in place, in one transaction, which no statement sees half done."""
    op.execute(GUARD_OF_SETTLED)
    op.execute(REFUSE_STRAY_RESULT.format(path=SAFE_PATH, settled="settled_at IS NOT NULL"))
    op.execute(DROP_CHECK)
    op.execute(f"{ADD_CHECK} ({SETTLED_HAS_A_TIME}) NOT VALID")


def downgrade() -> None:
    """Name the status again. A payment in another open status keeps the old CHECK away."""
    op.execute(DROP_CHECK)
    op.execute(f"{ADD_CHECK} ({ONLY_PENDING_HAS_NONE})")
    op.execute(REFUSE_STRAY_RESULT.format(path=SAFE_PATH, settled="status <> 'pending'"))
    op.execute(GUARD)
