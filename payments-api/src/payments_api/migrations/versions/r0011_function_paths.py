"""Functions resolve every name in the schema they mean, and no role creates objects.

A session's temporary schema is searched before all others unless the path names it: a temporary
view named pg_stat_activity ran with the rights of the function's owner, and a temporary table
named payments passed the guards of the ledger. So each function sets a path with pg_temp last,
its tables are qualified, and the roles lose the right to create temporary objects.

SECURITY DEFINER lends the owner's rights, so the one function that has it belongs to a role that
can read statistics and nothing else. Where the migration's role may not make that role and none
was prepared for it, the function stays the migration's own.

Contract: 0.1.0 knows no payments_observer, the only role that loses a right here, and creates no
temporary object.

Revision ID: 0011
Revises: 0010
"""

from alembic import op

from payments_api.migrations.versions.r0004_oldest_transaction import FUNCTION as OLDEST_TRANSACTION
from payments_api.migrations.versions.r0009_set_based_references import (
    REFUSE_STRAY_POSTING,
    REFUSE_STRAY_RESULT,
)

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

SAFE_PATH = "pg_catalog, public, pg_temp"
GUARDS = ("refuse_change", "refuse_stray_posting", "refuse_stray_result")
# The view and the functions of pg_catalog; `open`, a subquery, has no schema.
SYSTEM_NAMES = (
    "pg_stat_activity",
    "pg_prepared_xacts",
    "clock_timestamp()",
    "current_database()",
    "pg_backend_pid()",
)

# Two databases of one server may migrate at once.
OBSERVER = """
DO $$
BEGIN
    BEGIN
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'payments_observer') THEN
            CREATE ROLE payments_observer NOLOGIN;
        END IF;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL;  -- Made by the other migration in this moment.
    END;
    IF NOT pg_catalog.pg_has_role('payments_observer', 'pg_read_all_stats', 'MEMBER') THEN
        GRANT pg_read_all_stats TO payments_observer;
    END IF;
    -- A new owner needs it for the moment, unless a superuser hands over.
    GRANT CREATE ON SCHEMA public TO payments_observer;
    ALTER FUNCTION public.oldest_transaction_age_seconds() OWNER TO payments_observer;
    REVOKE CREATE ON SCHEMA public FROM payments_observer;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'oldest_transaction_age_seconds() keeps its owner, %: %', current_user, SQLERRM;
END $$"""

# PUBLIC has both privileges in every new database, and the second in one created before PostgreSQL
# 15.
TEMPORARY = """
DO $$ BEGIN
    EXECUTE format('{} TEMPORARY ON DATABASE %I {} PUBLIC', current_database());
END $$"""
CREATE_IN_SCHEMA = "REVOKE CREATE ON SCHEMA public FROM PUBLIC"


def _replacing(function: str) -> str:
    return function.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")


def qualified(function: str) -> str:
    for name in SYSTEM_NAMES:
        function = function.replace(name, f"pg_catalog.{name}")
    return _replacing(function).replace("FROM payments\n", "FROM public.payments\n")


def upgrade() -> None:
    """Replace the bodies in place: a running statement ends with the old body."""
    for function in (OLDEST_TRANSACTION, REFUSE_STRAY_POSTING, REFUSE_STRAY_RESULT):
        op.execute(qualified(function))
    for name in ("oldest_transaction_age_seconds", *GUARDS):
        op.execute(f"ALTER FUNCTION public.{name}() SET search_path = {SAFE_PATH}")
    op.execute(OBSERVER)
    op.execute(TEMPORARY.format("REVOKE", "FROM"))
    op.execute(CREATE_IN_SCHEMA)


def downgrade() -> None:
    """Restore the bodies. The role stays: other databases of the server may use it."""
    op.execute(TEMPORARY.format("GRANT", "TO"))
    op.execute("ALTER FUNCTION public.oldest_transaction_age_seconds() OWNER TO CURRENT_USER")
    for name in GUARDS:
        op.execute(f"ALTER FUNCTION public.{name}() RESET search_path")
    for function in (OLDEST_TRANSACTION, REFUSE_STRAY_POSTING, REFUSE_STRAY_RESULT):
        op.execute(_replacing(function))
