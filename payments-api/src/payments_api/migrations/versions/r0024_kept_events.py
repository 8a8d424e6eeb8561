"""Events, deliveries and attempts are kept as long as promised, and the API's role forges none.

The roles need these rights to prune, to resend and to edit endpoints. With them alone, one could
delete an event before its consumers have read it, mark a delivery as sent, or make an endpoint deaf
while it looks enabled.

The running release only does what these triggers allow.

Revision ID: 0024
Revises: 0023
"""

from alembic import op

from payments_api.migrations.versions.r0011_function_paths import SAFE_PATH

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

API, WORKER = "payments_api", "payments_worker"
KEPT = "now() - interval '30 days'"
# A table → the time from which its rows are kept.
KEPT_SINCE = {
    "job_deaths": "created_at",
    "webhook_disablings": "created_at",
    "webhook_deliveries": "created_at",
    "webhook_endpoints": "deleted_at",
}

REFUSE_EARLY = f"""
CREATE FUNCTION public.refuse_early_deletion() RETURNS trigger LANGUAGE plpgsql
SET search_path = {SAFE_PATH} AS $$
BEGIN
    RAISE EXCEPTION 'DELETE on %: its rows are kept for 30 days', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', CONSTRAINT = TG_NAME,
              HINT = 'Wait until then.';
END $$"""
REFUSE_FORGED = f"""
CREATE FUNCTION public.refuse_forged_webhook() RETURNS trigger LANGUAGE plpgsql
SET search_path = {SAFE_PATH} AS $$
BEGIN
    RAISE EXCEPTION '% on %: % may not write this', TG_OP, TG_TABLE_NAME, current_user
        USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME,
              HINT = 'The worker alone records what was sent, and what endpoints answered.';
END $$"""
# An endpoint that begins beyond the log's end would look enabled and receive nothing.
REFUSE_DEAF = f"""
CREATE FUNCTION public.refuse_deaf_webhook() RETURNS trigger LANGUAGE plpgsql
SET search_path = {SAFE_PATH} AS $$
BEGIN
    IF NEW.after_position > (SELECT position FROM public.webhook_cursor) THEN
        RAISE EXCEPTION 'webhook endpoint % would miss events', NEW.id
            USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME,
                  HINT = 'after_position is at most the position in webhook_cursor.';
    END IF;
    RETURN NULL;
END $$"""
# Set back, it would have old events sent again; set beyond the log's end, none of the next ones.
REFUSE_WRONG_CURSOR = f"""
CREATE FUNCTION public.refuse_wrong_cursor() RETURNS trigger LANGUAGE plpgsql
SET search_path = {SAFE_PATH} AS $$
BEGIN
    IF NEW.position < OLD.position
        OR NEW.position > (SELECT last_value FROM public.reconciliation_results_id_seq) THEN
        RAISE EXCEPTION 'the cursor of webhooks may not go from % to %', OLD.position, NEW.position
            USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME,
                  HINT = 'It advances, at most to the last id of the event log.';
    END IF;
    RETURN NULL;
END $$"""
TRIGGERS = (
    *(
        f"CREATE TRIGGER {table}_are_kept BEFORE DELETE ON {table} FOR EACH ROW"
        f" WHEN ((OLD.{since} < {KEPT}) IS NOT TRUE)"
        " EXECUTE FUNCTION public.refuse_early_deletion()"
        for table, since in KEPT_SINCE.items()
    ),
    # At depth 0 a statement of a session deletes them, deeper the deletion of their delivery.
    "CREATE TRIGGER webhook_attempts_are_kept BEFORE DELETE ON webhook_attempts FOR EACH ROW"
    " WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION public.refuse_early_deletion()",
    # The API sends deliveries again that no attempt holds, and does nothing else to them.
    f"""
CREATE TRIGGER webhook_deliveries_are_not_forged AFTER UPDATE ON webhook_deliveries FOR EACH ROW
WHEN (current_user = '{API}'
      AND (NEW.status <> 'pending' OR OLD.lease_token IS NOT NULL OR NEW.lease_token IS NOT NULL
           OR NEW.earlier_attempts <> OLD.attempts OR NEW.next_attempt_at <> now()
           OR NEW.give_up_at <> now() + interval '3 days'))
EXECUTE FUNCTION public.refuse_forged_webhook()""",
    f"""
CREATE TRIGGER webhook_endpoints_are_not_forged AFTER UPDATE ON webhook_endpoints FOR EACH ROW
WHEN (current_user IN ('{API}', '{WORKER}')
      AND (OLD.deleted_at IS NOT NULL OR NEW.deleted_at <> now() OR current_user = '{API}'
           AND (coalesce(NEW.disabled_reason, 'operator') <> 'operator'
                AND NEW.disabled_reason IS DISTINCT FROM OLD.disabled_reason
                OR NEW.failing_since IS NOT NULL
                AND NEW.failing_since IS DISTINCT FROM OLD.failing_since
                OR NEW.paused_until IS NOT NULL
                AND NEW.paused_until IS DISTINCT FROM OLD.paused_until)))
EXECUTE FUNCTION public.refuse_forged_webhook()""",
    "CREATE TRIGGER webhook_endpoints_miss_nothing AFTER INSERT OR UPDATE OF after_position"
    " ON webhook_endpoints FOR EACH ROW EXECUTE FUNCTION public.refuse_deaf_webhook()",
    "CREATE TRIGGER webhook_cursor_advances AFTER UPDATE ON webhook_cursor"
    " FOR EACH ROW EXECUTE FUNCTION public.refuse_wrong_cursor()",
)
FUNCTIONS = (
    *("refuse_early_deletion", "refuse_forged_webhook", "refuse_deaf_webhook"),
    "refuse_wrong_cursor",
)


def upgrade() -> None:
    """Add the triggers."""
    for statement in (REFUSE_EARLY, REFUSE_FORGED, REFUSE_DEAF, REFUSE_WRONG_CURSOR, *TRIGGERS):
        op.execute(statement)


def downgrade() -> None:
    """Drop them with their functions."""
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION public.{function}() CASCADE")
