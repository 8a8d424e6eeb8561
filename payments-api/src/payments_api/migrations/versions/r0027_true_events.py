"""An event needs its cause: a job that dies in the same transaction, an endpoint that is disabled.

The worker's role writes both events. With that right alone, one could tell every consumer that a
payment's job is dead although it is not, or that an endpoint is disabled that still receives.

The running release only does what these triggers allow.

Revision ID: 0027
Revises: 0026
"""

from alembic import op

from payments_api.migrations.versions.r0006_tenants import QUICK_BYTES_MAX
from payments_api.migrations.versions.r0011_function_paths import SAFE_PATH

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

# One death is one event: the job's own time is that of the transaction in which it died.
ONCE = "job_deaths_once ON job_deaths (job_id, created_at)"
REFUSE_TO_BLOCK = f"""
DO $$
BEGIN
    IF to_regclass('job_deaths_once') IS NULL
        AND pg_relation_size('job_deaths') > {QUICK_BYTES_MAX} THEN
        RAISE EXCEPTION 'building an index now would hold up jobs that die: run this first, then'
            ' migrate: CREATE UNIQUE INDEX CONCURRENTLY {ONCE}'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
END $$"""

REFUSE_STRAY_DEATH = f"""
CREATE FUNCTION public.refuse_stray_death() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off
SET search_path = {SAFE_PATH} AS $$
DECLARE
    broken bigint;
BEGIN
    SELECT death.job_id INTO broken FROM died AS death
    WHERE (
        SELECT status = 'failed' AND updated_at = now() AND death.created_at = now()
            AND attempts = death.attempts AND reversal_id IS NOT DISTINCT FROM death.reversal_id
            AND death.payment_id = coalesce(payment_id, (
                SELECT payment_id FROM public.reversals WHERE id = death.reversal_id))
        FROM public.recon_jobs WHERE id = death.job_id) IS NOT TRUE
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'job % has not died in this transaction as this event says', broken
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = TG_NAME,
                  HINT = 'Fail the job in the same statement; the event says what the job says.';
    END IF;
    RETURN NULL;
END $$"""
REFUSE_STRAY_DISABLING = f"""
CREATE FUNCTION public.refuse_stray_disabling() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off
SET search_path = {SAFE_PATH} AS $$
DECLARE
    broken uuid;
BEGIN
    SELECT disabling.endpoint_id INTO broken FROM disabled AS disabling
    WHERE (
        SELECT disabled_reason = disabling.reason
            AND failing_since IS NOT DISTINCT FROM disabling.failing_since
        FROM public.webhook_endpoints WHERE id = disabling.endpoint_id) IS NOT TRUE
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'webhook endpoint % is not disabled as this event says', broken
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = TG_NAME,
                  HINT = 'Disable the endpoint in the same statement.';
    END IF;
    RETURN NULL;
END $$"""
TRIGGERS = (
    "CREATE TRIGGER deaths_are_of_dead_jobs AFTER INSERT ON job_deaths"
    " REFERENCING NEW TABLE AS died FOR EACH STATEMENT"
    " EXECUTE FUNCTION public.refuse_stray_death()",
    "CREATE TRIGGER disablings_are_of_disabled_webhooks AFTER INSERT ON webhook_disablings"
    " REFERENCING NEW TABLE AS disabled FOR EACH STATEMENT"
    " EXECUTE FUNCTION public.refuse_stray_disabling()",
)


def upgrade() -> None:
    """Add the triggers, and let each death of a job have one event."""
    op.execute(REFUSE_TO_BLOCK)
    op.execute(f"CREATE UNIQUE INDEX IF NOT EXISTS {ONCE}")
    for statement in (REFUSE_STRAY_DEATH, REFUSE_STRAY_DISABLING, *TRIGGERS):
        op.execute(statement)


def downgrade() -> None:
    """Drop them."""
    for function in ("refuse_stray_death", "refuse_stray_disabling"):
        op.execute(f"DROP FUNCTION public.{function}() CASCADE")
    op.execute("DROP INDEX job_deaths_once")
