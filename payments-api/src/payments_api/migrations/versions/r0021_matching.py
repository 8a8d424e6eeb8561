"""Matches of statement lines with ledger entries: the open entries, rule sets, runs and breaks.

Safe beside the running release: new tables, indexes over the import's tables and one nullable
column. A line and an entry are in one active match at most, by a unique index; the sides of a match
have equal sums, by a trigger.

Revision ID: 0021
Revises: 0020
"""

import hashlib

from alembic import op
from sqlalchemy import text

from payments_api.migrations.versions.r0006_tenants import QUICK_BYTES_MAX
from payments_api.migrations.versions.r0011_function_paths import SAFE_PATH
from payments_api.migrations.versions.r0016_references import REFUSE_TO_BLOCK

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

API, WORKER = "payments_api", "payments_worker"
READERS = "payments_api, payments_worker, payments_readonly"


def _key(column: str) -> str:
    """Return a reference as it is compared: an id without hyphens, in lower case."""
    bare = f"replace({column}, '-', '')"
    return (
        f"CASE WHEN length({bare}) = 32 AND {column} ~* '^[0-9a-f-]+$'"
        f" THEN lower({bare}) ELSE {column} END"
    )


DEFAULT_RULES = (
    '{"rules": [{"rule": "reference"}, {"rule": "bank_reference"}, {"rule": "batch_sum"},'
    ' {"automatic": false, "days": 5, "rule": "amount_and_date"},'
    ' {"amount": "0", "charges": true, "rule": "tolerance"}]}'
)
DEFAULT_HASH = hashlib.sha256(DEFAULT_RULES.encode()).hexdigest()

TABLES = {
    "recon_rule_sets": """
        CREATE TABLE recon_rule_sets (
            version integer CONSTRAINT recon_rule_sets_pkey PRIMARY KEY,
            rules text NOT NULL,
            sha256 bytea NOT NULL CONSTRAINT recon_rule_sets_sha256_key UNIQUE,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT rule_set_is_numbered_from_1 CHECK (version > 0),
            CONSTRAINT rule_set_is_hashed CHECK (sha256 = sha256(convert_to(rules, 'UTF8'))),
            CONSTRAINT rule_set_is_an_object CHECK (jsonb_typeof(rules::jsonb) = 'object')
        )""",
    "recon_cuts": """
        CREATE TABLE recon_cuts (
            source_id bigint CONSTRAINT recon_cuts_pkey PRIMARY KEY
                CONSTRAINT recon_cuts_source_id_fkey REFERENCES recon_sources (id),
            entry_id bigint NOT NULL,
            updated_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT cut_is_not_negative CHECK (entry_id >= 0)
        ) WITH (fillfactor = 50)""",
    "recon_days": """
        CREATE TABLE recon_days (
            source_id bigint NOT NULL
                CONSTRAINT recon_days_source_id_fkey REFERENCES recon_sources (id),
            booked_on date NOT NULL,
            amount numeric NOT NULL,
            entries bigint NOT NULL,
            CONSTRAINT recon_days_pkey PRIMARY KEY (source_id, booked_on),
            CONSTRAINT day_has_entries CHECK (entries > 0)
        ) WITH (fillfactor = 50)""",
    "open_entries": """
        CREATE TABLE open_entries (
            entry_id bigint CONSTRAINT open_entries_pkey PRIMARY KEY,
            source_id bigint NOT NULL,
            payment_id uuid NOT NULL,
            amount numeric NOT NULL,
            currency text NOT NULL,
            reference text NOT NULL,
            booked_on date NOT NULL,
            break_on date NOT NULL,
            CONSTRAINT open_entry_has_an_amount CHECK (amount <> 0 AND abs(amount) < 1e15),
            CONSTRAINT open_entry_breaks_after_its_day CHECK (break_on >= booked_on)
        ) WITH (autovacuum_vacuum_scale_factor = 0.05)""",
    "recon_runs": """
        CREATE TABLE recon_runs (
            id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT recon_runs_pkey PRIMARY KEY,
            source_id bigint NOT NULL
                CONSTRAINT recon_runs_source_id_fkey REFERENCES recon_sources (id),
            as_of date NOT NULL,
            cut_entry_id bigint NOT NULL,
            cut_line_id bigint NOT NULL,
            rule_set integer NOT NULL
                CONSTRAINT recon_runs_rule_set_fkey REFERENCES recon_rule_sets (version),
            input_hash bytea NOT NULL,
            counts jsonb,
            output_hash bytea,
            verdict text,
            verdict_on date,
            residual numeric,
            started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            finished_at timestamptz,
            undone_at timestamptz,
            undone_by text,
            undone_reason text,
            CONSTRAINT run_hashes_are_sha256 CHECK (
                length(input_hash) = 32 AND length(coalesce(output_hash, input_hash)) = 32),
            CONSTRAINT run_verdict_known CHECK (verdict IN
                ('reconciled', 'reconciled_with_pending', 'breaks', 'incomplete')),
            CONSTRAINT finished_run_has_an_outcome CHECK (
                num_nulls(finished_at, counts, output_hash, verdict) IN (0, 4)),
            CONSTRAINT undone_run_has_a_reason CHECK (
                num_nulls(undone_at, undone_by, undone_reason) IN (0, 3)
                AND (undone_at IS NULL OR finished_at IS NOT NULL))
        )""",
    "recon_matches": """
        CREATE TABLE recon_matches (
            id bigint GENERATED BY DEFAULT AS IDENTITY CONSTRAINT recon_matches_pkey PRIMARY KEY,
            source_id bigint NOT NULL,
            run_id bigint,
            rule text NOT NULL,
            why text NOT NULL,
            score smallint NOT NULL,
            actor text,
            first_on date NOT NULL,
            last_on date NOT NULL,
            created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            undone_at timestamptz,
            undone_by text,
            undone_reason text,
            CONSTRAINT match_rule_known CHECK (rule IN
                ('reference', 'bank_reference', 'batch_sum', 'amount_and_date', 'manual')),
            CONSTRAINT match_is_of_a_run_or_an_actor CHECK (
                (run_id IS NULL) = (rule = 'manual') AND (actor IS NULL) <> (rule = 'manual')),
            CONSTRAINT match_score_is_a_percentage CHECK (score BETWEEN 0 AND 100),
            CONSTRAINT match_days_are_in_order CHECK (first_on <= last_on),
            CONSTRAINT undone_match_has_an_actor CHECK (
                (undone_at IS NULL) = (undone_by IS NULL)
                AND (undone_reason IS NULL OR undone_at IS NOT NULL)),
            CONSTRAINT match_actor_is_named CHECK (length(actor) BETWEEN 1 AND 200)
        )""",
    "match_legs": """
        CREATE TABLE match_legs (
            match_id bigint NOT NULL,
            side text NOT NULL,
            item_id bigint NOT NULL,
            amount numeric NOT NULL,
            booked_on date NOT NULL,
            former_status text,
            former_reason text,
            active boolean NOT NULL DEFAULT true,
            CONSTRAINT match_legs_pkey PRIMARY KEY (match_id, side, item_id),
            CONSTRAINT leg_side_known CHECK (side IN ('line', 'entry')),
            CONSTRAINT leg_has_an_amount CHECK (amount <> 0),
            CONSTRAINT line_leg_has_a_former_status CHECK (
                (side = 'line') = (former_status IS NOT NULL)
                AND former_status IN ('unmatched', 'suggested'))
        )""",
    "recon_breaks": """
        CREATE TABLE recon_breaks (
            id text CONSTRAINT recon_breaks_pkey PRIMARY KEY,
            source_id bigint NOT NULL
                CONSTRAINT recon_breaks_source_id_fkey REFERENCES recon_sources (id),
            class text NOT NULL,
            side text NOT NULL,
            item_id bigint NOT NULL,
            amount numeric NOT NULL,
            opened_on date NOT NULL,
            break_on date NOT NULL,
            assignee text,
            note text,
            resolved_at timestamptz,
            resolved_by text,
            CONSTRAINT recon_breaks_side_item_id_key UNIQUE (side, item_id),
            CONSTRAINT break_class_known CHECK (
                (class, side) IN (('bank_only', 'line'), ('missing_in_bank', 'entry'))),
            CONSTRAINT break_id_is_a_hash CHECK (id = encode(sha256(convert_to(
                concat_ws('|', source_id, class, side, item_id), 'UTF8')), 'hex')),
            CONSTRAINT resolved_break_has_an_actor CHECK (
                (resolved_at IS NULL) = (resolved_by IS NULL)),
            CONSTRAINT break_texts_are_short CHECK (
                length(assignee) <= 200 AND length(note) <= 1000)
        ) WITH (fillfactor = 80)""",
}
OPEN_LINE = "status IN ('unmatched', 'suggested') AND booking = 'booked'"
# Each look-up of a rule has one index that serves it, by the expressions at its begin. When a night
# has matched everything, statistics say that nothing is open, and any two indexes cost the same.
INDEXES = (
    *(
        f"statement_lines_open_by_{name} ON statement_lines ((source_id + 0),"
        f" ({_key(column)}), amount) WHERE {{open}} AND {column} IS NOT NULL"
        for name, column in (("reference", "end_to_end"), ("bank_reference", "bank_ref"))
    ),
    "statement_lines_open_by_batch ON statement_lines ((source_id + 0),"
    f' ({_key("batch_ref")}) COLLATE "C", id) WHERE {{open}} AND batch_ref IS NOT NULL',
    "statement_lines_open_by_amount ON statement_lines ((source_id + 0), amount, booked_on)"
    " WHERE {open} AND end_to_end IS NULL",
    "statement_lines_set_aside ON statement_lines (source_id, booked_on)"
    " WHERE status IN ('explained', 'ignored')",
    "open_entries_by_reference ON open_entries (reference, amount)",
    "open_entries_by_amount ON open_entries ((- amount), (source_id + 0), booked_on)",
    "open_entries_by_age ON open_entries (source_id, break_on, entry_id)",
    "recon_matches_by_day ON recon_matches (source_id, last_on) WHERE undone_at IS NULL",
    "recon_matches_by_run ON recon_matches (run_id, id) WHERE run_id IS NOT NULL",
    "match_legs_undone ON match_legs (item_id) WHERE NOT active AND side = 'line'",
    "recon_breaks_open ON recon_breaks (source_id, break_on, id) WHERE resolved_at IS NULL",
    "recon_runs_by_source ON recon_runs (source_id, id)",
)
UNIQUE_INDEXES = (
    "match_legs_item_matched_once ON match_legs (item_id, side) WHERE active",
    "recon_runs_one_at_a_time ON recon_runs (source_id) WHERE finished_at IS NULL",
    "recon_sources_speak_for_a_channel_once ON recon_sources"
    " (coalesce(tenant, ''), channel, currency)",
)

# Each item is looked up by its own subquery, as in refuse_stray_posting.
REFUSE_STRAY_MATCH = f"""
CREATE FUNCTION public.refuse_stray_match() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off
SET search_path = {SAFE_PATH} AS $$
DECLARE
    broken bigint;
BEGIN
    SELECT match_id INTO broken FROM matched GROUP BY match_id
    HAVING sum(CASE side WHEN 'line' THEN amount ELSE -amount END) <> 0
        OR count(*) FILTER (WHERE side = 'line') = 0
        OR count(*) FILTER (WHERE side = 'entry') = 0
        OR count(*) FILTER (WHERE side = 'line') > 1 AND count(*) FILTER (WHERE side = 'entry') > 1
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the sides of match % differ', broken
            USING ERRCODE = 'check_violation', CONSTRAINT = 'match_sides_are_equal',
                  HINT = 'Insert all legs in one statement: one line or one entry, equal sums.';
    END IF;
    SELECT leg.match_id INTO broken FROM matched AS leg
    WHERE NOT leg.active OR leg.amount IS DISTINCT FROM CASE leg.side
        WHEN 'line' THEN (
            SELECT line.amount FROM public.statement_lines AS line
            WHERE line.id = leg.item_id AND line.status IN ('matched', 'returned')
              AND line.source_id = (
                SELECT source_id FROM public.recon_matches
                WHERE id = leg.match_id AND undone_at IS NULL))
        ELSE (
            SELECT CASE entry.direction WHEN 'debit' THEN entry.amount ELSE -entry.amount END
            FROM public.ledger_entries AS entry
            WHERE entry.id = leg.item_id AND entry.entry_type = 'clearing')
        END
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'match % has a leg that its line or entry does not bear out', broken
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'legs_are_of_lines_and_entries',
                  HINT = 'A leg has the amount of its line or clearing entry.';
    END IF;
    RETURN NULL;
END $$"""

_MATCH = "id source_id run_id rule why score actor first_on last_on created_at"
_LEG = "match_id side item_id amount booked_on former_status former_reason"
_RUN = "id source_id as_of cut_entry_id cut_line_id rule_set input_hash started_at"
_OUTCOME = "counts output_hash verdict verdict_on residual finished_at"
_BREAK = "id source_id class side item_id amount opened_on break_on"


def _change(columns: str) -> str:
    """Return SQL that is true if one of the columns changes."""
    old, new = (
        ", ".join(f"{row}.{column}" for column in columns.split()) for row in ("OLD", "NEW")
    )
    return f"({old}) IS DISTINCT FROM ({new})"


# Rows are appended; what may change, and once, is an outcome or an undo.
IMMUTABLE = {
    "recon_matches": f"OLD.undone_at IS NOT NULL OR {_change(_MATCH)}",
    "match_legs": f"NOT OLD.active OR {_change(_LEG)}",
    "recon_runs": f"OLD.undone_at IS NOT NULL OR {_change(_RUN)}"
    f" OR OLD.finished_at IS NOT NULL AND {_change(_OUTCOME)}",
    "recon_breaks": _change(_BREAK),
    "recon_rule_sets": "true",
}

ACTIONS = (
    *("create", "replay", "discard", "create_key", "rotate_key", "revoke_key"),
    *("add_source", "receive_statement", "accept_statement", "reject_statement"),
    *("match", "undo_match", "undo_run", "explain", "ignore", "reopen", "annotate"),
)
OLD_ACTIONS = ACTIONS[:-7]


def _actions(actions: tuple[str, ...]) -> str:
    known = ", ".join(f"'{action}'" for action in actions)
    check = f"ADD CONSTRAINT action_known CHECK (action IN ({known})) NOT VALID"
    return f"ALTER TABLE operator_actions DROP CONSTRAINT action_known, {check}"


_UNDO = "undone_at, undone_by, undone_reason"
_MATCH_COLUMNS = _MATCH.replace(" created_at", "").replace(" ", ", ")
GRANTS = (
    *(f"GRANT SELECT ON {table} TO {READERS}" for table in TABLES),
    f"GRANT INSERT ({_MATCH_COLUMNS}) ON recon_matches TO {API}, {WORKER}",
    f"GRANT UPDATE ({_UNDO}) ON recon_matches TO {API}, {WORKER}",
    f"GRANT USAGE ON SEQUENCE recon_matches_id_seq TO {API}, {WORKER}",
    f"GRANT INSERT ({_LEG.replace(' ', ', ')}) ON match_legs TO {API}, {WORKER}",
    f"GRANT UPDATE (active) ON match_legs TO {API}, {WORKER}",
    f"GRANT UPDATE (status, status_reason) ON statement_lines TO {API}, {WORKER}",
    f"GRANT INSERT, DELETE ON open_entries TO {API}, {WORKER}",
    f"GRANT UPDATE (assignee, note, resolved_at, resolved_by) ON recon_breaks TO {API}, {WORKER}",
    f"GRANT INSERT (id, source_id, class, side, item_id, amount, opened_on, break_on)"
    f" ON recon_breaks TO {WORKER}",
    f"GRANT INSERT (source_id, as_of, cut_entry_id, cut_line_id, rule_set, input_hash)"
    f" ON recon_runs TO {WORKER}",
    f"GRANT UPDATE ({_OUTCOME.replace(' ', ', ')}, {_UNDO}) ON recon_runs TO {WORKER}",
    f"GRANT INSERT (version, rules, sha256) ON recon_rule_sets TO {WORKER}",
    f"GRANT INSERT, UPDATE (entry_id, updated_at) ON recon_cuts TO {WORKER}",
    f"GRANT INSERT, UPDATE (amount, entries) ON recon_days TO {WORKER}",
    f"GRANT UPDATE (rule_set) ON recon_sources TO {WORKER}",
)


def _refuse_to_block(index: str) -> None:
    name, _, rest = index.partition(" ON statement_lines ")
    columns = rest.replace("'", "''")
    values = {"name": name, "table": "statement_lines", "columns": columns, "prepare": ""}
    op.execute(REFUSE_TO_BLOCK.format(**values, limit=QUICK_BYTES_MAX))


def upgrade() -> None:
    """Create the tables, their indexes, guards and privileges."""
    for table, statement in TABLES.items():
        op.execute(statement)
        op.execute(f"ALTER TABLE {table} OWNER TO payments_owner")
    op.execute(
        text(
            "INSERT INTO recon_rule_sets (version, rules, sha256)"
            " VALUES (1, :rules, decode(:sha256, 'hex'))"
        ).bindparams(rules=DEFAULT_RULES, sha256=DEFAULT_HASH)
    )
    op.execute(
        "ALTER TABLE recon_sources ADD COLUMN rule_set integer NOT NULL DEFAULT 1"
        " CONSTRAINT recon_sources_rule_set_fkey REFERENCES recon_rule_sets (version)"
    )
    op.execute(
        "ALTER TABLE audit_progress ADD COLUMN matches_verified_to bigint NOT NULL DEFAULT 0"
    )
    for index in INDEXES:
        definition = index.format(open=OPEN_LINE)
        if " ON statement_lines " in definition:
            _refuse_to_block(definition)
        op.execute(f"CREATE INDEX IF NOT EXISTS {definition}")
    for index in UNIQUE_INDEXES:
        op.execute(f"CREATE UNIQUE INDEX IF NOT EXISTS {index}")
    op.execute(REFUSE_STRAY_MATCH)
    op.execute(
        "CREATE TRIGGER matches_are_sound AFTER INSERT ON match_legs REFERENCING NEW TABLE AS"
        " matched FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_stray_match()"
    )
    for table, condition in IMMUTABLE.items():
        op.execute(
            f"CREATE TRIGGER {table}_keep_history AFTER UPDATE ON {table} FOR EACH ROW"
            f" WHEN ({condition}) EXECUTE FUNCTION public.refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_never_deleted BEFORE DELETE ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION public.refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_never_truncated BEFORE TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change()"
        )
    op.execute(_actions(ACTIONS))
    for grant in GRANTS:
        op.execute(grant)


def downgrade() -> None:
    """Drop the tables. Lines keep their statuses."""
    op.execute(_actions(OLD_ACTIONS))
    op.execute("ALTER TABLE audit_progress DROP COLUMN matches_verified_to")
    op.execute("DROP INDEX recon_sources_speak_for_a_channel_once")
    op.execute("ALTER TABLE recon_sources DROP COLUMN rule_set")
    for table in reversed(TABLES):
        op.execute(f"DROP TABLE {table}")
    for index in INDEXES:
        if " ON statement_lines " in index:
            op.execute(f"DROP INDEX {index.split()[0]}")
    op.execute("DROP FUNCTION public.refuse_stray_match()")
