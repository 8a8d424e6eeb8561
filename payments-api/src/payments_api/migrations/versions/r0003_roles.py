"""Least-privileged roles: an owner that cannot log in, one role per service, one read-only role.

Revision ID: 0003
Revises: 0002
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# A role without a password can log in only where pg_hba.conf trusts it; `migrate` sets
# passwords when it is given them. Two databases of one server may migrate at once.
ROLES = """
DO $$
DECLARE
    role record;
BEGIN
    FOR role IN SELECT * FROM (VALUES
        ('payments_owner', 'NOLOGIN'), ('payments_api', 'LOGIN'),
        ('payments_worker', 'LOGIN'), ('payments_readonly', 'LOGIN')) AS r (name, login)
    LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role.name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I %s', role.name, role.login);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;  -- Made by the other migration in this moment.
            END;
        END IF;
    END LOOP;
END $$"""

TABLES = (
    "payments",
    "recon_jobs",
    "reconciliation_results",
    "accounts",
    "ledger_entries",
    "operator_actions",
    "workers",
    "worker_throughput",
    "audit_progress",
    "audit_findings",
)
READERS = "payments_api, payments_worker, payments_readonly"
SETTLING = "UPDATE (status, settled_at, updated_at) ON payments"

# The API records payments and decides about dead letters; only the worker posts money.
GRANTS = (
    f"GRANT USAGE ON SCHEMA public TO payments_owner, {READERS}",
    # Readiness compares the schema's revision with the release's.
    *(f"GRANT SELECT ON {table} TO {READERS}" for table in (*TABLES, "alembic_version")),
    "GRANT INSERT ON payments, recon_jobs, reconciliation_results, operator_actions"
    " TO payments_api",
    f"GRANT {SETTLING} TO payments_api",
    "GRANT UPDATE ON recon_jobs TO payments_api",
    f"GRANT {SETTLING} TO payments_worker",
    "GRANT UPDATE, DELETE ON recon_jobs TO payments_worker",
    "GRANT INSERT ON reconciliation_results, ledger_entries, operator_actions TO payments_worker",
    "GRANT INSERT, UPDATE ON accounts, audit_progress, audit_findings TO payments_worker",
    "GRANT INSERT, UPDATE, DELETE ON workers, worker_throughput TO payments_worker",
)


def upgrade() -> None:
    """Create the missing roles, transfer the tables to the owner, grant the least privileges."""
    op.execute(ROLES)
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} OWNER TO payments_owner")
    for grant in GRANTS:
        op.execute(grant)


def downgrade() -> None:
    """Revoke the grants. The roles stay: other databases of the server may use them."""
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} OWNER TO CURRENT_USER")
        op.execute(f"REVOKE ALL ON {table} FROM {READERS}")
    op.execute(f"REVOKE USAGE ON SCHEMA public FROM payments_owner, {READERS}")
