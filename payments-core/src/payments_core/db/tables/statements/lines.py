"""Statements of banks and providers, and their lines."""

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

from payments_core.db.tables.schema import metadata, one_of, timestamp
from payments_core.domain import statements as words
from payments_core.domain.matching import SET_ASIDE_STATUSES

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


def _key(column: str) -> str:
    """Return a reference as it is compared, in the lines that Postgres prints of it."""
    bare = f"replace({column}, '-', '')"
    case = f"WHEN length({bare}) = 32 AND {column} ~* '^[0-9a-f-]+$' THEN lower({bare})"
    return f"(\nCASE\n    {case}\n    ELSE {column}\nEND)"


# Each rule looks its candidates up among the open lines alone.
_OPEN = f"{one_of('status', words.OPEN_LINE_STATUSES)} AND booking = 'booked'"
_lines = statement_lines.c
for _name, _column in (("reference", "end_to_end"), ("bank_reference", "bank_ref")):
    Index(
        f"statement_lines_open_by_{_name}",
        text("(source_id + 0)"),
        text(_key(_column)),
        _lines.amount,
        postgresql_where=text(f"{_OPEN} AND {_column} IS NOT NULL"),
    )
Index(
    "statement_lines_open_by_batch",
    text("(source_id + 0)"),
    text(_key("batch_ref")),  # COLLATE "C", which Alembic does not compare.
    _lines.id,
    postgresql_where=text(f"{_OPEN} AND batch_ref IS NOT NULL"),
)
Index(
    "statement_lines_open_by_amount",
    text("(source_id + 0)"),
    _lines.amount,
    _lines.booked_on,
    postgresql_where=text(f"{_OPEN} AND end_to_end IS NULL"),
)
Index(
    "statement_lines_set_aside",
    _lines.source_id,
    _lines.booked_on,
    postgresql_where=text(one_of("status", SET_ASIDE_STATUSES)),
)
