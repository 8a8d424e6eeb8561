"""Matching of statement lines with ledger entries: open entries, runs and matches.

Statements of SQL use these tables by name; the definitions here say what the columns hold.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from payments_core.db.tables.schema import metadata, one_of, timestamp
from payments_core.domain.matching import MATCH_RULES, VERDICTS


def _clock(name: str) -> Column[object]:
    """Return a time that is not the begin of the transaction, which may be long ago."""
    now = func.clock_timestamp()
    return Column(name, DateTime(timezone=True), nullable=False, server_default=now)


# The rules by which a run matches, as canonical JSON. Never changed: a source takes another one.
recon_rule_sets = Table(
    "recon_rule_sets",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("rules", Text, nullable=False),
    Column("sha256", LargeBinary, nullable=False),
    timestamp("created_at", default_now=True),
    UniqueConstraint("sha256"),
    CheckConstraint("version > 0", name="rule_set_is_numbered_from_1"),
    CheckConstraint("sha256 = sha256(convert_to(rules, 'UTF8'))", name="rule_set_is_hashed"),
    CheckConstraint("jsonb_typeof(rules::jsonb) = 'object'", name="rule_set_is_an_object"),
)

# The last ledger entry that a source's runs have seen; the next cut goes on from there.
recon_cuts = Table(
    "recon_cuts",
    metadata,
    Column(
        "source_id",
        BigInteger,
        ForeignKey("recon_sources.id"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("entry_id", BigInteger, nullable=False),
    timestamp("updated_at", default_now=True),
    CheckConstraint("entry_id >= 0", name="cut_is_not_negative"),
    postgresql_with={"fillfactor": 50},
)
# What a source's ledger entries up to the cut sum to, by the day of its time zone.
recon_days = Table(
    "recon_days",
    metadata,
    Column(
        "source_id",
        BigInteger,
        ForeignKey("recon_sources.id"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("booked_on", Date, primary_key=True),
    Column("amount", Numeric, nullable=False),
    Column("entries", BigInteger, nullable=False),
    CheckConstraint("entries > 0", name="day_has_entries"),
    postgresql_with={"fillfactor": 50},
)
# The clearing entries up to the cut that no active match holds. A debit is positive: money in.
open_entries = Table(
    "open_entries",
    metadata,
    Column("entry_id", BigInteger, primary_key=True, autoincrement=False),
    Column("source_id", BigInteger, nullable=False),
    Column("payment_id", Uuid, nullable=False),
    Column("amount", Numeric, nullable=False),
    Column("currency", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("booked_on", Date, nullable=False),
    Column("break_on", Date, nullable=False),
    CheckConstraint("amount <> 0 AND abs(amount) < 1e15", name="open_entry_has_an_amount"),
    CheckConstraint("break_on >= booked_on", name="open_entry_breaks_after_its_day"),
    postgresql_with={"autovacuum_vacuum_scale_factor": 0.05},
)
# Each look-up of a rule has one index that serves it, by the expressions at its begin. When a night
# has matched everything, statistics say that nothing is open, and any two indexes cost the same.
Index("open_entries_by_reference", open_entries.c.reference, open_entries.c.amount)
Index(
    "open_entries_by_amount",
    text("(- amount)"),
    text("(source_id + 0)"),
    open_entries.c.booked_on,
)
Index("open_entries_by_age", *(open_entries.c[n] for n in ("source_id", "break_on", "entry_id")))

# A run: the cut, the rules and the hash of the input; when it has finished, counts and verdict.
recon_runs = Table(
    "recon_runs",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("source_id", BigInteger, ForeignKey("recon_sources.id"), nullable=False),
    Column("as_of", Date, nullable=False),
    Column("cut_entry_id", BigInteger, nullable=False),
    Column("cut_line_id", BigInteger, nullable=False),
    Column("rule_set", Integer, ForeignKey("recon_rule_sets.version"), nullable=False),
    Column("input_hash", LargeBinary, nullable=False),
    Column("counts", JSONB),
    Column("output_hash", LargeBinary),
    Column("verdict", Text),
    Column("verdict_on", Date),
    Column("residual", Numeric),
    _clock("started_at"),
    timestamp("finished_at"),
    timestamp("undone_at"),
    Column("undone_by", Text),
    Column("undone_reason", Text),
    CheckConstraint(
        "length(input_hash) = 32 AND length(coalesce(output_hash, input_hash)) = 32",
        name="run_hashes_are_sha256",
    ),
    CheckConstraint(one_of("verdict", VERDICTS), name="run_verdict_known"),
    CheckConstraint(
        "num_nulls(finished_at, counts, output_hash, verdict) IN (0, 4)",
        name="finished_run_has_an_outcome",
    ),
    CheckConstraint(
        "num_nulls(undone_at, undone_by, undone_reason) IN (0, 3)"
        " AND (undone_at IS NULL OR finished_at IS NOT NULL)",
        name="undone_run_has_a_reason",
    ),
)
Index("recon_runs_by_source", recon_runs.c.source_id, recon_runs.c.id)
Index(
    "recon_runs_one_at_a_time",
    recon_runs.c.source_id,
    unique=True,
    postgresql_where=text("finished_at IS NULL"),
)

# A match by a run's rule or by a person. `first_on` and `last_on` are the days of its legs.
recon_matches = Table(
    "recon_matches",
    metadata,
    Column("id", BigInteger, Identity(always=False), primary_key=True),
    Column("source_id", BigInteger, nullable=False),
    Column("run_id", BigInteger),
    Column("rule", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("score", SmallInteger, nullable=False),
    Column("actor", Text),
    Column("first_on", Date, nullable=False),
    Column("last_on", Date, nullable=False),
    _clock("created_at"),
    timestamp("undone_at"),
    Column("undone_by", Text),
    # Of a match that was undone by itself, which no run makes again; NULL if its run was undone.
    Column("undone_reason", Text),
    CheckConstraint(one_of("rule", MATCH_RULES), name="match_rule_known"),
    CheckConstraint(
        "(run_id IS NULL) = (rule = 'manual') AND (actor IS NULL) <> (rule = 'manual')",
        name="match_is_of_a_run_or_an_actor",
    ),
    CheckConstraint("score BETWEEN 0 AND 100", name="match_score_is_a_percentage"),
    CheckConstraint("first_on <= last_on", name="match_days_are_in_order"),
    CheckConstraint(
        "(undone_at IS NULL) = (undone_by IS NULL)"
        " AND (undone_reason IS NULL OR undone_at IS NOT NULL)",
        name="undone_match_has_an_actor",
    ),
    CheckConstraint("length(actor) BETWEEN 1 AND 200", name="match_actor_is_named"),
)
Index(
    "recon_matches_by_day",
    recon_matches.c.source_id,
    recon_matches.c.last_on,
    postgresql_where=text("undone_at IS NULL"),
)
Index(
    "recon_matches_by_run",
    recon_matches.c.run_id,
    recon_matches.c.id,
    postgresql_where=text("run_id IS NOT NULL"),
)
# Broken into lines as Postgres prints it.
_UNDONE_LINE = "(\nCASE\n    WHEN side = 'line' AND NOT active THEN item_id\n    ELSE NULL\nEND)"
# The lines and entries of a match: one line or one entry, and equal sums, by a trigger. A line's
# leg keeps its former status, which an undo restores.
match_legs = Table(
    "match_legs",
    metadata,
    Column("match_id", BigInteger, primary_key=True, autoincrement=False),
    Column("side", Text, primary_key=True),
    Column("item_id", BigInteger, primary_key=True, autoincrement=False),
    Column("amount", Numeric, nullable=False),
    Column("booked_on", Date, nullable=False),
    Column("former_status", Text),
    Column("former_reason", Text),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    CheckConstraint("side IN ('line', 'entry')", name="leg_side_known"),
    CheckConstraint("amount <> 0", name="leg_has_an_amount"),
    CheckConstraint(
        "(side = 'line') = (former_status IS NOT NULL)"
        " AND former_status IN ('unmatched', 'suggested')",
        name="line_leg_has_a_former_status",
    ),
    Index(
        "match_legs_by_undone_line",
        text(_UNDONE_LINE),
        postgresql_where=text(f"{_UNDONE_LINE} IS NOT NULL"),
    ),
)
Index(
    "match_legs_item_matched_once",
    match_legs.c.item_id,
    match_legs.c.side,
    unique=True,
    postgresql_where=text("active"),
)
Index(
    "match_legs_undone",
    match_legs.c.item_id,
    postgresql_where=text("NOT active AND side = 'line'"),
)
