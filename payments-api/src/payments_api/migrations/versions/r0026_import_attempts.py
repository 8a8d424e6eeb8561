"""Count the imports of a statement file that begin: one that never ends quarantines the file.

Safe beside the running release, whose worker counts none.

Revision ID: 0026
Revises: 0025
"""

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

API, WORKER = "payments_api", "payments_worker"

PROBLEMS = "'malformed', 'account', 'currency', 'date', 'balance', 'chain', 'overlap'"


def _problem_known(problems: str) -> str:
    check = f"ADD CONSTRAINT file_problem_known CHECK (problem_code IN ({problems})) NOT VALID"
    return f"ALTER TABLE statement_files DROP CONSTRAINT file_problem_known, {check}"


def _decisions(unless: str) -> None:
    op.execute("DROP TRIGGER file_decisions_are_not_forged ON statement_files")
    op.execute(f"""
CREATE TRIGGER file_decisions_are_not_forged BEFORE UPDATE ON statement_files FOR EACH ROW
WHEN (current_user = '{API}'
      AND (OLD.status <> 'quarantined' OR NEW.status NOT IN ('received', 'rejected')
           OR NEW.status = 'received' AND NEW.accepted_by IS NULL{unless}))
EXECUTE FUNCTION public.refuse_forged_decision()""")


def upgrade() -> None:
    """Add the columns, the problem, and the decision to try again, which approves no balance."""
    op.execute(
        "ALTER TABLE statement_files ADD COLUMN attempts integer NOT NULL DEFAULT 0,"
        " ADD COLUMN retry_at timestamptz,"
        " ADD CONSTRAINT file_attempts_are_counted CHECK (attempts >= 0) NOT VALID"
    )
    op.execute(_problem_known(f"{PROBLEMS}, 'unfinished'"))
    _decisions(" AND OLD.problem_code <> 'unfinished'")
    op.execute(f"GRANT UPDATE (attempts, retry_at) ON statement_files TO {WORKER}")


def downgrade() -> None:
    """Drop the columns; an unfinished file becomes malformed."""
    op.execute(
        "UPDATE statement_files SET problem_code = 'malformed' WHERE problem_code = 'unfinished'"
    )
    op.execute(_problem_known(PROBLEMS))
    _decisions("")
    op.execute("ALTER TABLE statement_files DROP COLUMN attempts, DROP COLUMN retry_at")
