"""Seals also cover results and their payments: the second range of a seal of format 2.

Safe beside the running release: nullable columns, which a seal of format 1 leaves empty.

Revision ID: 0012
Revises: 0011
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

COLUMNS = {
    "from_result_id": "bigint",
    "to_result_id": "bigint",
    "result_count": "integer",
    "result_ids": "int8multirange",
    "results_hash": "bytea",
    "result_digests": "bytea",
}
CHECKS = {
    "seal_has_results_from_format_2": f"""
        num_nulls({", ".join(COLUMNS)}) = CASE format_version WHEN 1 THEN {len(COLUMNS)} ELSE 0 END
        AND from_result_id <= to_result_id + 1""",
    "seal_has_a_digest_a_result": """
        result_count >= 0 AND length(result_digests) = 8 * result_count
        AND length(results_hash) = 32""",
}
READERS = "payments_api, payments_worker, payments_readonly"
SEQUENCE = "SELECT ON SEQUENCE reconciliation_results_id_seq"


def upgrade() -> None:
    """Add the range of results to seals, and to the sealer's findings."""
    added = ", ".join(f"ADD COLUMN {column} {kind}" for column, kind in COLUMNS.items())
    op.execute(f"ALTER TABLE ledger_seals {added}")
    # Digests are incompressible: trying costs time and saves nothing.
    op.execute("ALTER TABLE ledger_seals ALTER COLUMN result_digests SET STORAGE EXTERNAL")
    for name, check in CHECKS.items():
        op.execute(f"ALTER TABLE ledger_seals ADD CONSTRAINT {name} CHECK ({check}) NOT VALID")
    op.execute(f"GRANT INSERT ({', '.join(COLUMNS)}) ON ledger_seals TO payments_worker")
    op.execute("ALTER TABLE seal_verification ADD COLUMN problem_result_id bigint")
    op.execute(f"GRANT {SEQUENCE} TO {READERS}")


def downgrade() -> None:
    """Drop the columns. A seal of format 2 cannot be verified without them."""
    op.execute(f"REVOKE {SEQUENCE} FROM {READERS}")
    op.execute("ALTER TABLE seal_verification DROP COLUMN problem_result_id")
    for name in CHECKS:
        op.execute(f"ALTER TABLE ledger_seals DROP CONSTRAINT {name}")
    dropped = ", ".join(f"DROP COLUMN {column}" for column in COLUMNS)
    op.execute(f"ALTER TABLE ledger_seals {dropped}")
