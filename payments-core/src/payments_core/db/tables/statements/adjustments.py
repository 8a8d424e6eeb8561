"""Adjustments: postings that explain a line, proposed by one person and approved by another."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Numeric,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from payments_core.db.tables.schema import metadata, one_of, timestamp
from payments_core.domain.matching import (
    ADJUSTMENT_KINDS,
    ADJUSTMENT_STATUSES,
    OPEN_ADJUSTMENT_STATUSES,
)

# The line, less the entries that it pays for, leaves the amount: money in is positive.
recon_adjustments = Table(
    "recon_adjustments",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("source_id", BigInteger, ForeignKey("recon_sources.id"), nullable=False),
    Column("line_id", BigInteger, nullable=False),
    Column("entry_ids", ARRAY(BigInteger), nullable=False, server_default=text("'{}'")),
    Column("kind", Text, nullable=False),
    Column("amount", Numeric, nullable=False),
    Column("reason", Text, nullable=False),
    Column("status", Text, nullable=False, server_default="proposed"),
    Column("proposed_by", Text, nullable=False),
    Column(
        "proposed_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=text("clock_timestamp()"),
    ),
    Column("decided_by", Text),
    timestamp("decided_at"),
    Column("decision_reason", Text),
    timestamp("settled_at"),
    Column("failure", Text),
    CheckConstraint(one_of("kind", ADJUSTMENT_KINDS), name="adjustment_kind_known"),
    CheckConstraint("amount <> 0 AND abs(amount) < 1e15", name="adjustment_has_an_amount"),
    CheckConstraint("scale(amount) <= 4", name="adjustment_amount_needs_no_rounding"),
    CheckConstraint("cardinality(entry_ids) <= 98", name="adjustment_has_at_most_98_entries"),
    CheckConstraint(
        "length(reason) BETWEEN 1 AND 500 AND length(decision_reason) <= 1000",
        name="adjustment_has_a_reason",
    ),
    CheckConstraint(one_of("status", ADJUSTMENT_STATUSES), name="adjustment_status_known"),
    CheckConstraint(
        "length(proposed_by) BETWEEN 1 AND 200 AND length(decided_by) BETWEEN 1 AND 200",
        name="adjustment_people_are_named",
    ),
    CheckConstraint(
        "status IN ('proposed', 'rejected') OR lower(decided_by) <> lower(proposed_by)",
        name="approver_is_another_person",
    ),
    CheckConstraint(
        "num_nulls(decided_by, decided_at) = CASE status WHEN 'proposed' THEN 2 ELSE 0 END"
        " AND (decision_reason IS NULL OR status <> 'proposed')",
        name="decided_adjustment_has_an_actor",
    ),
    CheckConstraint(
        "(status IN ('posted', 'failed')) = (settled_at IS NOT NULL)"
        " AND (status = 'failed') = (failure IS NOT NULL)",
        name="settled_adjustment_has_a_time",
    ),
)
Index(
    "recon_adjustments_of_a_line_once",
    recon_adjustments.c.line_id,
    unique=True,
    postgresql_where=text(one_of("status", OPEN_ADJUSTMENT_STATUSES)),
)
Index("recon_adjustments_by_source", recon_adjustments.c.source_id, recon_adjustments.c.id)
