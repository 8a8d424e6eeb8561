"""The age of the oldest transaction, as one number for the metrics.

pg_stat_activity hides other roles' transactions; pg_read_all_stats would also show their
statements. A function that runs as its owner shows this one number. If the migration's role is
neither superuser nor member of pg_read_all_stats, the function sees that role's transactions only.

Revision ID: 0004
Revises: 0003
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

FUNCTION = """
CREATE FUNCTION oldest_transaction_age_seconds() RETURNS double precision
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
    SELECT coalesce(extract(epoch FROM clock_timestamp() - min(since)), 0)::float8
    FROM (
        SELECT xact_start AS since FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()
          AND backend_type = 'client backend'
        UNION ALL
        SELECT prepared FROM pg_prepared_xacts WHERE database = current_database()
    ) AS open
$$"""


def upgrade() -> None:
    """Create the function, for our own roles only."""
    op.execute(FUNCTION)
    op.execute("REVOKE ALL ON FUNCTION oldest_transaction_age_seconds() FROM PUBLIC")
    op.execute(
        "GRANT EXECUTE ON FUNCTION oldest_transaction_age_seconds()"
        " TO payments_api, payments_worker, payments_readonly"
    )


def downgrade() -> None:
    """Drop the function."""
    op.execute("DROP FUNCTION oldest_transaction_age_seconds()")
