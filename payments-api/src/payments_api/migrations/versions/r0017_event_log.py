"""The event log: the results, and each death of a job, in one sequence of ids.

A job that dies leaves no result. The numbers of both come from one sequence, so that they are
listed in one order. Beside it, the running release works as before: it records no deaths.

Revision ID: 0017
Revises: 0016
"""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

WORKER = "payments_worker"
SEQUENCE = "public.reconciliation_results_id_seq"
STATEMENTS = (
    f"""
    CREATE TABLE job_deaths (
        id bigint NOT NULL DEFAULT nextval('{SEQUENCE}') CONSTRAINT job_deaths_pkey PRIMARY KEY,
        event_id uuid NOT NULL DEFAULT gen_random_uuid(),
        job_id bigint NOT NULL,
        payment_id uuid NOT NULL,
        attempts integer NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now()
    )""",
    "ALTER TABLE job_deaths OWNER TO payments_owner",
    f"GRANT USAGE ON SEQUENCE {SEQUENCE} TO {WORKER}",
    f"GRANT INSERT (job_id, payment_id, attempts), DELETE ON job_deaths TO {WORKER}",
    f"GRANT SELECT ON job_deaths TO payments_api, {WORKER}, payments_readonly",
)


def upgrade() -> None:
    """Add the table of deaths."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drop it with the events in it."""
    op.execute("DROP TABLE job_deaths")
    op.execute(f"REVOKE USAGE ON SEQUENCE {SEQUENCE} FROM {WORKER}")
