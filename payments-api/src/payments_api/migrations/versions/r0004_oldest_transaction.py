"""How old the oldest transaction is: one number for the metrics, and no more.

pg_stat_activity hides other roles' transactions; pg_read_all_stats would show them all, their
statements too. A function that runs as its owner shows the one figure. Where the migration's
role is no superuser nor in pg_read_all_stats, it sees that role's transactions only.

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
    """Make the function, for our own roles only."""
    op.execute(FUNCTION)
    op.execute("REVOKE ALL ON FUNCTION oldest_transaction_age_seconds() FROM PUBLIC")
    op.execute(
        "GRANT EXECUTE ON FUNCTION oldest_transaction_age_seconds()"
        " TO payments_api, payments_worker, payments_readonly"
    )


def downgrade() -> None:
    """Drop the function."""
    op.execute("DROP FUNCTION oldest_transaction_age_seconds()")
