"""A chain of seals over the ledger's entries, and the progress of its verification.

Safe beside the running release: two new tables, and no lock on any table that it uses.

Revision ID: 0008
Revises: 0007
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TABLES = {
    "ledger_seals": """
        CREATE TABLE ledger_seals (
            seq bigint CONSTRAINT ledger_seals_pkey PRIMARY KEY,
            format_version smallint NOT NULL,
            from_entry_id bigint NOT NULL,
            to_entry_id bigint NOT NULL,
            entry_count integer NOT NULL,
            entry_ids int8multirange NOT NULL,
            entries_hash bytea NOT NULL,
            entry_digests bytea NOT NULL,
            previous_hash bytea NOT NULL CONSTRAINT ledger_seals_previous_hash_key UNIQUE,
            seal_hash bytea NOT NULL,
            mac bytea,
            sealed_at timestamptz NOT NULL,
            CONSTRAINT seal_is_numbered_from_1 CHECK (seq > 0),
            CONSTRAINT seal_covers_a_range CHECK (from_entry_id <= to_entry_id + 1),
            CONSTRAINT seal_hashes_are_sha256 CHECK (
                length(entries_hash) = 32 AND length(previous_hash) = 32
                AND length(seal_hash) = 32 AND length(coalesce(mac, seal_hash)) = 32),
            CONSTRAINT seal_has_a_digest_an_entry CHECK (
                entry_count >= 0 AND length(entry_digests) = 8 * entry_count)
        )""",
    "seal_verification": """
        CREATE TABLE seal_verification (
            only_row boolean DEFAULT true NOT NULL CONSTRAINT seal_verification_pkey PRIMARY KEY,
            verified_seq bigint NOT NULL DEFAULT 0,
            verified_at timestamptz,
            pass_started_at timestamptz,
            pass_completed_at timestamptz,
            problem text,
            problem_seq bigint,
            problem_entry_id bigint,
            problem_at timestamptz,
            CONSTRAINT seal_verification_is_one_row CHECK (only_row),
            CONSTRAINT seal_problem_has_a_time CHECK ((problem IS NULL) = (problem_at IS NULL))
        )""",
}
READERS = "payments_api, payments_worker, payments_readonly"
# An entry whose id the sequence has not handed out did not come from a posting.
SHOW_SEQUENCE = f"GRANT SELECT ON SEQUENCE ledger_entries_id_seq TO {READERS}"
HIDE_SEQUENCE = f"REVOKE SELECT ON SEQUENCE ledger_entries_id_seq FROM {READERS}"


def upgrade() -> None:
    """Create the append-only table of seals, and the bookmark of their verification."""
    for table, statement in TABLES.items():
        op.execute(statement)
        op.execute(f"ALTER TABLE {table} OWNER TO payments_owner")
        op.execute(f"GRANT SELECT ON {table} TO {READERS}")
    # Digests are incompressible: trying costs time and saves nothing.
    op.execute("ALTER TABLE ledger_seals ALTER COLUMN entry_digests SET STORAGE EXTERNAL")
    op.execute("INSERT INTO seal_verification DEFAULT VALUES")
    op.execute(
        "CREATE TRIGGER ledger_seals_append_only BEFORE UPDATE OR DELETE ON ledger_seals"
        " FOR EACH ROW EXECUTE FUNCTION refuse_change()"
    )
    op.execute(
        "CREATE TRIGGER ledger_seals_never_truncated BEFORE TRUNCATE ON ledger_seals"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    op.execute("GRANT INSERT ON ledger_seals TO payments_worker")
    op.execute("GRANT UPDATE ON seal_verification TO payments_worker")
    op.execute(SHOW_SEQUENCE)


def downgrade() -> None:
    """Drop both tables; the ledger itself does not change."""
    op.execute(HIDE_SEQUENCE)
    for table in reversed(TABLES):
        op.execute(f"DROP TABLE {table}")
