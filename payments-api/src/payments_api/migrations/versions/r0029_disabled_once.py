"""Each disabling of a webhook endpoint has one event: the row says when it was disabled.

The worker's role could announce an endpoint that stays disabled again and again. A trigger dates
the disabling, in a column that no role may write; the event has that time, once.

The running release only does what these triggers allow. An endpoint that was disabled before has
no time, and its event already.

Revision ID: 0029
Revises: 0028
"""

from alembic import op

from payments_api.migrations.versions.r0011_function_paths import SAFE_PATH
from payments_api.migrations.versions.r0027_true_events import REFUSE_STRAY_DISABLING

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

# Not built beforehand: events of 30 days are few, and only a disabling waits for it.
ONCE = "webhook_disablings_once ON webhook_disablings (endpoint_id, created_at)"
DATE_DISABLING = f"""
CREATE FUNCTION public.date_disabling() RETURNS trigger LANGUAGE plpgsql
SET search_path = {SAFE_PATH} AS $$
BEGIN
    NEW.disabled_at := CASE WHEN NEW.enabled_at IS NULL THEN now() END;
    RETURN NEW;
END $$"""
DATED = (
    "CREATE TRIGGER disablings_of_webhooks_are_dated BEFORE UPDATE OF enabled_at"
    " ON webhook_endpoints FOR EACH ROW"
    " WHEN ((OLD.enabled_at IS NULL) <> (NEW.enabled_at IS NULL))"
    " EXECUTE FUNCTION public.date_disabling()"
)
REFUSE_REPEATED = REFUSE_STRAY_DISABLING.replace(
    "SELECT disabled_reason = disabling.reason",
    "SELECT disabled_reason = disabling.reason AND disabled_at = disabling.created_at",
)


def upgrade() -> None:
    """Add the column with its trigger, and let each disabling have one event."""
    op.execute("ALTER TABLE webhook_endpoints ADD COLUMN disabled_at timestamptz")
    op.execute(f"CREATE UNIQUE INDEX IF NOT EXISTS {ONCE}")
    op.execute(DATE_DISABLING)
    op.execute(DATED)
    _replace(REFUSE_REPEATED)


def downgrade() -> None:
    """Drop them, and put the earlier check back."""
    _replace(REFUSE_STRAY_DISABLING)
    op.execute("DROP FUNCTION public.date_disabling() CASCADE")
    op.execute("DROP INDEX webhook_disablings_once")
    op.execute("ALTER TABLE webhook_endpoints DROP COLUMN disabled_at")


def _replace(function: str) -> None:
    op.execute(function.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"))
