"""Where statements come from: sources, and their files with the bytes as received."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from payments_core.db.tables.schema import metadata, one_of, timestamp
from payments_core.domain import statements as words

recon_sources = Table(
    "recon_sources",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("tenant", Text),
    Column("name", Text, nullable=False),
    # An IBAN or a provider's account, without spaces and in upper case.
    Column("account_identifier", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("format", Text, nullable=False),
    Column("profile", JSONB(none_as_null=True)),
    # The payments.source whose payments this account receives.
    Column("channel", Text, nullable=False, server_default="default"),
    Column("time_zone", Text, nullable=False, server_default="UTC"),
    Column("grace_days", Integer, nullable=False, server_default="2"),
    timestamp("created_at", default_now=True),
    Column(
        "rule_set",
        Integer,
        ForeignKey("recon_rule_sets.version"),
        nullable=False,
        server_default="1",
    ),
    CheckConstraint("tenant ~ '^[a-z0-9][a-z0-9-]{0,31}$'", name="recon_source_tenant_is_a_name"),
    CheckConstraint("name ~ '^[a-z0-9][a-z0-9-]{0,31}$'", name="recon_source_is_named"),
    CheckConstraint(
        "account_identifier ~ '^[^[:space:]]{1,64}$'"
        " AND account_identifier = upper(account_identifier)",
        name="account_identifier_is_normalised",
    ),
    CheckConstraint("currency ~ '^[A-Z]{3}$'", name="recon_source_currency_is_a_code"),
    CheckConstraint(one_of("format", words.SOURCE_FORMATS), name="source_format_known"),
    CheckConstraint(
        "jsonb_typeof(profile) = 'object' AND octet_length(profile::text) <= 16384",
        name="profile_is_a_small_object",
    ),
    CheckConstraint("channel ~ '^[a-z0-9][a-z0-9-]{0,31}$'", name="channel_is_a_name"),
    CheckConstraint("length(time_zone) BETWEEN 1 AND 64", name="time_zone_is_named"),
    CheckConstraint("grace_days BETWEEN 0 AND 365", name="grace_has_365_days_at_most"),
)
Index(
    "recon_sources_tenant_name",
    text("coalesce(tenant, '')"),
    recon_sources.c.name,
    unique=True,
)

# An entry belongs to one source: a tenant's own, or the one without a tenant.
Index(
    "recon_sources_speak_for_a_channel_once",
    text("coalesce(tenant, '')"),
    recon_sources.c.channel,
    recon_sources.c.currency,
    unique=True,
)

# Its bytes never change; its status does until it is accepted.
statement_files = Table(
    "statement_files",
    metadata,
    Column("id", Uuid, primary_key=True),  # A UUIDv7: ordered by age.
    Column("source_id", BigInteger, ForeignKey("recon_sources.id"), nullable=False),
    Column("sha256", LargeBinary, nullable=False),
    # SHA-256 of the SHA-256s of the chunks as stored, in order: SQL alone can check it.
    Column("chunks_sha256", LargeBinary, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("file_name", Text),
    Column("format", Text),  # The exact one, such as camt.053.001.08; known once it is read.
    Column("encoding", Text),
    Column("status", Text, nullable=False, server_default="received"),
    Column("problem_code", Text),
    Column("problem", Text),
    Column("problem_at", Text),  # The place in the file, such as "line 17" or "Ntry 3".
    Column("actor", Text, nullable=False),
    timestamp("created_at", default_now=True),
    timestamp("decided_at"),
    # The operator who accepted the file despite its problem.
    Column("accepted_by", Text),
    Column("accept_reason", Text),
    # Imports that began since it was last decided about, and when the worker may begin another one.
    Column("attempts", Integer, nullable=False, server_default="0"),
    timestamp("retry_at"),
    UniqueConstraint("source_id", "sha256"),
    CheckConstraint(
        "length(sha256) = 32 AND length(chunks_sha256) = 32", name="file_hash_is_sha256"
    ),
    CheckConstraint("size_bytes > 0", name="file_has_bytes"),
    CheckConstraint("length(file_name) BETWEEN 1 AND 255", name="file_name_has_1_to_255_chars"),
    CheckConstraint("length(actor) BETWEEN 1 AND 200", name="file_actor_is_named"),
    CheckConstraint(one_of("status", words.FILE_STATUSES), name="file_status_known"),
    CheckConstraint(one_of("problem_code", words.PROBLEMS), name="file_problem_known"),
    CheckConstraint(
        "(status IN ('quarantined', 'rejected')) = (problem_code IS NOT NULL)"
        " AND num_nulls(problem_code, problem, problem_at) IN (0, 3)",
        name="quarantined_file_has_a_problem",
    ),
    CheckConstraint("(status = 'received') = (decided_at IS NULL)", name="decided_file_has_a_time"),
    CheckConstraint(
        "(accepted_by IS NULL) = (accept_reason IS NULL)"
        " AND length(accepted_by) BETWEEN 1 AND 200"
        " AND length(accept_reason) BETWEEN 1 AND 1000",
        name="file_is_vouched_for_with_a_reason",
    ),
    CheckConstraint("attempts >= 0", name="file_attempts_are_counted"),
)
Index("statement_files_by_source", statement_files.c.source_id, statement_files.c.id)
Index(
    "statement_files_to_import",
    statement_files.c.id,
    postgresql_where=text("status = 'received'"),
)
Index(
    "statement_files_quarantined",
    statement_files.c.id,
    postgresql_where=text("status = 'quarantined'"),
)

# The bytes as received, in pieces that are compressed one by one with zlib.
statement_file_chunks = Table(
    "statement_file_chunks",
    metadata,
    Column("file_id", Uuid, ForeignKey("statement_files.id"), primary_key=True),
    Column("chunk_no", Integer, primary_key=True),
    Column("data", LargeBinary, nullable=False),
    Column("size_bytes", Integer, nullable=False),  # Before compression.
    CheckConstraint("chunk_no >= 0 AND size_bytes > 0", name="chunk_has_bytes"),
)
# The chunks of an upload under way: a slow one holds no transaction, half of one is no file.
statement_uploads = Table(
    "statement_uploads",
    metadata,
    Column("upload_id", Uuid, primary_key=True),
    Column("chunk_no", Integer, primary_key=True),
    Column("data", LargeBinary, nullable=False),
    Column("size_bytes", Integer, nullable=False),
    timestamp("created_at", default_now=True),
    prefixes=["UNLOGGED"],
)
