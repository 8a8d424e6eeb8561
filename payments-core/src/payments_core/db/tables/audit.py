"""The auditor's progress and findings, the seals and their verification."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import INT8MULTIRANGE, JSONB

from payments_core.db.tables.schema import metadata, timestamp

# The auditor's position (one row) and its last finding for each invariant.
audit_progress = Table(
    "audit_progress",
    metadata,
    Column("only_row", Boolean, primary_key=True, server_default=text("true")),
    Column("entries_verified_to", BigInteger, nullable=False, server_default="0"),
    Column("results_verified_to", BigInteger, nullable=False, server_default="0"),
    Column(
        "payments_verified_to",
        Uuid,
        nullable=False,
        server_default="00000000-0000-0000-0000-000000000000",
    ),
    timestamp("updated_at", default_now=True),
    Column("matches_verified_to", BigInteger, nullable=False, server_default="0"),
    CheckConstraint("only_row", name="progress_is_one_row"),
)
audit_findings = Table(
    "audit_findings",
    metadata,
    Column("invariant", Text, primary_key=True),
    Column("offending", BigInteger, nullable=False),
    # The first offending rows, by the payment, account or job that each names.
    Column("offenders", JSONB, nullable=False, server_default=text("'[]'")),
    Column("mode", Text, nullable=False),
    timestamp("checked_at", default_now=True),
    CheckConstraint("mode IN ('incremental', 'full')", name="audit_mode_known"),
)

# Each seal holds the hash of a range of entries, of a range of results with their payments, and
# of the seal before it: recon_worker/sealing/.
ledger_seals = Table(
    "ledger_seals",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("format_version", SmallInteger, nullable=False),
    # Both included, with everything between them: a gap is sealed as a gap.
    Column("from_entry_id", BigInteger, nullable=False),
    Column("to_entry_id", BigInteger, nullable=False),
    Column("entry_count", Integer, nullable=False),
    Column("entry_ids", INT8MULTIRANGE, nullable=False),
    Column("entries_hash", LargeBinary, nullable=False),
    # Eight bytes of each entry's hash, in the order of ids: they identify a changed entry.
    Column("entry_digests", LargeBinary, nullable=False),
    # The same for results, each hashed with its payment. Format 1 has none.
    Column("from_result_id", BigInteger),
    Column("to_result_id", BigInteger),
    Column("result_count", Integer),
    Column("result_ids", INT8MULTIRANGE),
    Column("results_hash", LargeBinary),
    Column("result_digests", LargeBinary),
    Column("previous_hash", LargeBinary, nullable=False),
    Column("seal_hash", LargeBinary, nullable=False),
    Column("mac", LargeBinary),
    Column("sealed_at", DateTime(timezone=True), nullable=False),
    UniqueConstraint("previous_hash"),  # A chain never forks.
    CheckConstraint("seq > 0", name="seal_is_numbered_from_1"),
    CheckConstraint("from_entry_id <= to_entry_id + 1", name="seal_covers_a_range"),
    CheckConstraint(
        "length(entries_hash) = 32 AND length(previous_hash) = 32"
        " AND length(seal_hash) = 32 AND length(coalesce(mac, seal_hash)) = 32",
        name="seal_hashes_are_sha256",
    ),
    CheckConstraint(
        "entry_count >= 0 AND length(entry_digests) = 8 * entry_count",
        name="seal_has_a_digest_an_entry",
    ),
    CheckConstraint(
        "num_nulls(from_result_id, to_result_id, result_count, result_ids, results_hash,"
        " result_digests) = CASE format_version WHEN 1 THEN 6 ELSE 0 END"
        " AND from_result_id <= to_result_id + 1",
        name="seal_has_results_from_format_2",
    ),
    CheckConstraint(
        "result_count >= 0 AND length(result_digests) = 8 * result_count"
        " AND length(results_hash) = 32",
        name="seal_has_a_digest_a_result",
    ),
)
# The progress and the finding of the workers' continuous verification of seals (one row).
seal_verification = Table(
    "seal_verification",
    metadata,
    Column("only_row", Boolean, primary_key=True, server_default=text("true")),
    Column("verified_seq", BigInteger, nullable=False, server_default="0"),
    timestamp("verified_at"),
    timestamp("pass_started_at"),
    timestamp("pass_completed_at"),
    Column("problem", Text),
    Column("problem_seq", BigInteger),
    Column("problem_entry_id", BigInteger),
    Column("problem_result_id", BigInteger),
    timestamp("problem_at"),
    CheckConstraint("only_row", name="seal_verification_is_one_row"),
    CheckConstraint("(problem IS NULL) = (problem_at IS NULL)", name="seal_problem_has_a_time"),
)
