"""Statements of banks and providers: sources, files with their bytes, statements, lines."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Numeric,
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
    # The operator who vouches for a file that does not add up.
    Column("accepted_by", Text),
    Column("accept_reason", Text),
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

statements = Table(
    "statements",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("source_id", BigInteger, ForeignKey("recon_sources.id"), nullable=False),
    Column("file_id", Uuid, ForeignKey("statement_files.id"), nullable=False),
    Column("number", Integer, nullable=False),  # In its file, from 1.
    Column("kind", Text, nullable=False),
    Column("bank_id", Text),
    Column("sequence", Text),
    Column("from_on", Date, nullable=False),
    Column("to_on", Date, nullable=False),
    # NULL where the format has none.
    Column("opening", Numeric),
    Column("closing", Numeric),
    # Of the statement as received: the sum of its booked lines, its entries, its lines.
    Column("net", Numeric, nullable=False),
    Column("entry_count", Integer, nullable=False),
    Column("line_count", Integer, nullable=False),
    # Of those lines, the ones that an earlier statement brought: they are stored there.
    Column("known_count", Integer, nullable=False, server_default="0"),
    Column("known_net", Numeric, nullable=False, server_default="0"),
    # The statement whose closing balance and this one's new lines make this closing balance.
    Column("previous_id", BigInteger, ForeignKey("statements.id")),
    Column("accepted_by", Text),
    timestamp("created_at", default_now=True),
    UniqueConstraint("file_id", "number"),
    UniqueConstraint("id", "source_id"),
    CheckConstraint(one_of("kind", words.STATEMENT_KINDS), name="statement_kind_known"),
    CheckConstraint("from_on <= to_on", name="statement_covers_days"),
    CheckConstraint(
        "opening + net = closing OR accepted_by IS NOT NULL OR kind <> 'statement'",
        name="statement_closes",
    ),
    CheckConstraint(
        "entry_count >= 0 AND line_count >= 0 AND known_count BETWEEN 0 AND line_count",
        name="statement_counts_its_lines",
    ),
)
Index("statements_by_day", statements.c.source_id, statements.c.to_on, statements.c.id)

# One movement of the account; only status and status_reason ever change.
statement_lines = Table(
    "statement_lines",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("statement_id", BigInteger, nullable=False),
    Column("source_id", BigInteger, nullable=False),
    # The entry's number in its statement, from 1; 0 is the entry, 1..n the parts of a batch.
    Column("line_no", Integer, nullable=False),
    Column("part_no", Integer, nullable=False),
    Column("amount", Numeric, nullable=False),  # A credit is positive, a debit negative.
    Column("currency", Text, nullable=False),
    Column("booked_on", Date, nullable=False),
    Column("valued_on", Date),
    Column("end_to_end", Text),
    Column("bank_ref", Text),
    Column("batch_ref", Text),
    Column("code", Text),
    Column("reversal", Boolean, nullable=False),
    Column("return_reason", Text),
    Column("counterparty", Text),
    Column("remittance", Text),
    Column("charges", Numeric),
    Column("original_amount", Numeric),
    Column("original_currency", Text),
    Column("booking", Text, nullable=False),
    # Equal lines have one fingerprint, and are told apart by their number.
    Column("fingerprint", LargeBinary, nullable=False),
    Column("occurrence", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("status_reason", Text),
    ForeignKeyConstraint(
        ["statement_id", "source_id"],
        ["statements.id", "statements.source_id"],
        name="statement_lines_statement_id_fkey",
    ),
    UniqueConstraint("source_id", "fingerprint", "occurrence"),
    UniqueConstraint("statement_id", "line_no", "part_no"),
    # Postgres sorts NaN above every number, so this CHECK rejects NaN too.
    CheckConstraint("amount <> 0 AND abs(amount) < 1e15", name="line_amount_is_bounded"),
    CheckConstraint("scale(amount) <= 4", name="line_amount_needs_no_rounding"),
    CheckConstraint("currency ~ '^[A-Z]{3}$'", name="line_currency_is_a_code"),
    CheckConstraint("line_no > 0 AND part_no >= 0", name="lines_are_numbered"),
    CheckConstraint(
        "length(fingerprint) = 32 AND occurrence > 0", name="line_fingerprint_is_sha256"
    ),
    CheckConstraint(one_of("booking", words.BOOKINGS), name="line_booking_known"),
    CheckConstraint(one_of("status", words.LINE_STATUSES), name="line_status_known"),
    CheckConstraint(
        "status <> 'ignored' OR status_reason IS NOT NULL", name="ignored_line_has_a_reason"
    ),
)
Index(
    "statement_lines_open",
    statement_lines.c.source_id,
    statement_lines.c.id,
    postgresql_where=text(one_of("status", words.OPEN_LINE_STATUSES)),
)

# The lines of a file under import, which its transaction removes again before it commits.
_line_columns = [
    Column(column.name, column.type, nullable=column.nullable)
    for column in statement_lines.c
    if column.name
    not in {
        "id",
        "statement_id",
        "source_id",
        "fingerprint",
        "occurrence",
        "status",
        "status_reason",
    }
]
statement_staging = Table(
    "statement_staging",
    metadata,
    Column("file_id", Uuid, primary_key=True),
    Column("number", Integer, primary_key=True),  # The statement's, in its file.
    Column("row_no", Integer, primary_key=True),
    *_line_columns,
    prefixes=["UNLOGGED"],
)
