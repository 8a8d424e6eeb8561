"""Breaks: open lines and entries past their days of grace."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from payments_core.db.tables.schema import metadata, timestamp

# An open line or entry past its day of grace. Its id is a hash of what it is of, so it is the same
# in every run; a match resolves it, an undo opens it again.
recon_breaks = Table(
    "recon_breaks",
    metadata,
    Column("id", Text, primary_key=True),
    Column("source_id", BigInteger, ForeignKey("recon_sources.id"), nullable=False),
    Column("class", Text, nullable=False),
    Column("side", Text, nullable=False),
    Column("item_id", BigInteger, nullable=False),
    Column("amount", Numeric, nullable=False),
    Column("opened_on", Date, nullable=False),
    Column("break_on", Date, nullable=False),
    Column("assignee", Text),
    Column("note", Text),
    timestamp("resolved_at"),
    Column("resolved_by", Text),
    UniqueConstraint("side", "item_id"),
    CheckConstraint(
        "(class, side) IN (('bank_only', 'line'), ('missing_in_bank', 'entry'))",
        name="break_class_known",
    ),
    CheckConstraint(
        "id = encode(sha256(convert_to("
        "concat_ws('|', source_id, class, side, item_id), 'UTF8')), 'hex')",
        name="break_id_is_a_hash",
    ),
    CheckConstraint(
        "(resolved_at IS NULL) = (resolved_by IS NULL)", name="resolved_break_has_an_actor"
    ),
    CheckConstraint(
        "length(assignee) <= 200 AND length(note) <= 1000", name="break_texts_are_short"
    ),
    postgresql_with={"fillfactor": 80},
)
Index(
    "recon_breaks_open",
    recon_breaks.c.source_id,
    recon_breaks.c.break_on,
    recon_breaks.c.id,
    postgresql_where=text("resolved_at IS NULL"),
)
