"""Statements of banks and providers: sources, files with their bytes, statements, lines.

Safe beside the running release: new tables, a column of the audit log that it leaves empty, and
actions that it does not write.

Revision ID: 0018
Revises: 0017
"""

from alembic import op

from payments_api.migrations.versions.r0011_function_paths import SAFE_PATH

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

API, WORKER = "payments_api", "payments_worker"
READERS = "payments_api, payments_worker, payments_readonly"

SOURCES = """
CREATE TABLE recon_sources (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT recon_sources_pkey PRIMARY KEY,
    tenant text,
    name text NOT NULL,
    account_identifier text NOT NULL,
    currency text NOT NULL,
    format text NOT NULL,
    profile jsonb,
    channel text NOT NULL DEFAULT 'default',
    time_zone text NOT NULL DEFAULT 'UTC',
    grace_days integer NOT NULL DEFAULT 2,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT recon_source_tenant_is_a_name CHECK (tenant ~ '^[a-z0-9][a-z0-9-]{0,31}$'),
    CONSTRAINT recon_source_is_named CHECK (name ~ '^[a-z0-9][a-z0-9-]{0,31}$'),
    CONSTRAINT account_identifier_is_normalised CHECK (
        account_identifier ~ '^[^[:space:]]{1,64}$'
        AND account_identifier = upper(account_identifier)),
    CONSTRAINT recon_source_currency_is_a_code CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT source_format_known CHECK (
        format IN ('auto', 'camt', 'mt940', 'csv', 'stripe', 'adyen')),
    CONSTRAINT profile_is_a_small_object CHECK (
        jsonb_typeof(profile) = 'object' AND octet_length(profile::text) <= 16384),
    CONSTRAINT channel_is_a_name CHECK (channel ~ '^[a-z0-9][a-z0-9-]{0,31}$'),
    CONSTRAINT time_zone_is_named CHECK (length(time_zone) BETWEEN 1 AND 64),
    CONSTRAINT grace_has_365_days_at_most CHECK (grace_days BETWEEN 0 AND 365)
)"""

FILES = """
CREATE TABLE statement_files (
    id uuid CONSTRAINT statement_files_pkey PRIMARY KEY,
    source_id bigint NOT NULL
        CONSTRAINT statement_files_source_id_fkey REFERENCES recon_sources (id),
    sha256 bytea NOT NULL,
    chunks_sha256 bytea NOT NULL,
    size_bytes bigint NOT NULL,
    file_name text,
    format text,
    encoding text,
    status text NOT NULL DEFAULT 'received',
    problem_code text,
    problem text,
    problem_at text,
    actor text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    decided_at timestamptz,
    accepted_by text,
    accept_reason text,
    CONSTRAINT statement_files_source_id_sha256_key UNIQUE (source_id, sha256),
    CONSTRAINT file_hash_is_sha256 CHECK (
        length(sha256) = 32 AND length(chunks_sha256) = 32),
    CONSTRAINT file_has_bytes CHECK (size_bytes > 0),
    CONSTRAINT file_name_has_1_to_255_chars CHECK (length(file_name) BETWEEN 1 AND 255),
    CONSTRAINT file_actor_is_named CHECK (length(actor) BETWEEN 1 AND 200),
    CONSTRAINT file_status_known CHECK (
        status IN ('received', 'accepted', 'quarantined', 'rejected')),
    CONSTRAINT file_problem_known CHECK (problem_code IN (
        'malformed', 'account', 'currency', 'date', 'balance', 'chain', 'overlap')),
    CONSTRAINT quarantined_file_has_a_problem CHECK (
        (status IN ('quarantined', 'rejected')) = (problem_code IS NOT NULL)
        AND num_nulls(problem_code, problem, problem_at) IN (0, 3)),
    CONSTRAINT decided_file_has_a_time CHECK ((status = 'received') = (decided_at IS NULL)),
    CONSTRAINT file_is_vouched_for_with_a_reason CHECK (
        (accepted_by IS NULL) = (accept_reason IS NULL)
        AND length(accepted_by) BETWEEN 1 AND 200
        AND length(accept_reason) BETWEEN 1 AND 1000)
)"""

CHUNKS = """
CREATE TABLE statement_file_chunks (
    file_id uuid NOT NULL
        CONSTRAINT statement_file_chunks_file_id_fkey REFERENCES statement_files (id),
    chunk_no integer NOT NULL,
    data bytea NOT NULL,
    size_bytes integer NOT NULL,
    CONSTRAINT statement_file_chunks_pkey PRIMARY KEY (file_id, chunk_no),
    CONSTRAINT chunk_has_bytes CHECK (chunk_no >= 0 AND size_bytes > 0)
)"""

# Not logged: an upload that a crash of the server interrupts is repeated by its sender.
UPLOADS = """
CREATE UNLOGGED TABLE statement_uploads (
    upload_id uuid NOT NULL,
    chunk_no integer NOT NULL,
    data bytea NOT NULL,
    size_bytes integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT statement_uploads_pkey PRIMARY KEY (upload_id, chunk_no)
)"""

STATEMENTS = """
CREATE TABLE statements (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT statements_pkey PRIMARY KEY,
    source_id bigint NOT NULL CONSTRAINT statements_source_id_fkey REFERENCES recon_sources (id),
    file_id uuid NOT NULL CONSTRAINT statements_file_id_fkey REFERENCES statement_files (id),
    number integer NOT NULL,
    kind text NOT NULL,
    bank_id text,
    sequence text,
    from_on date NOT NULL,
    to_on date NOT NULL,
    opening numeric,
    closing numeric,
    net numeric NOT NULL,
    entry_count integer NOT NULL,
    line_count integer NOT NULL,
    known_count integer NOT NULL DEFAULT 0,
    known_net numeric NOT NULL DEFAULT 0,
    previous_id bigint CONSTRAINT statements_previous_id_fkey REFERENCES statements (id),
    accepted_by text,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT statements_file_id_number_key UNIQUE (file_id, number),
    CONSTRAINT statements_id_source_id_key UNIQUE (id, source_id),
    CONSTRAINT statement_kind_known CHECK (kind IN ('statement', 'report', 'notification')),
    CONSTRAINT statement_covers_days CHECK (from_on <= to_on),
    CONSTRAINT statement_closes CHECK (
        opening + net = closing OR accepted_by IS NOT NULL OR kind <> 'statement'),
    CONSTRAINT statement_counts_its_lines CHECK (
        entry_count >= 0 AND line_count >= 0 AND known_count BETWEEN 0 AND line_count)
)"""

# What a line says, in lines and in the lines of a file under import.
_LINE = """
    line_no integer NOT NULL,
    part_no integer NOT NULL,
    amount numeric NOT NULL,
    currency text NOT NULL,
    booked_on date NOT NULL,
    valued_on date,
    end_to_end text,
    bank_ref text,
    batch_ref text,
    code text,
    reversal boolean NOT NULL,
    return_reason text,
    counterparty text,
    remittance text,
    charges numeric,
    original_amount numeric,
    original_currency text,
    booking text NOT NULL,"""

LINES = f"""
CREATE TABLE statement_lines (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT statement_lines_pkey PRIMARY KEY,
    statement_id bigint NOT NULL,
    source_id bigint NOT NULL,{_LINE}
    fingerprint bytea NOT NULL,
    occurrence integer NOT NULL,
    status text NOT NULL,
    status_reason text,
    CONSTRAINT statement_lines_statement_id_fkey
        FOREIGN KEY (statement_id, source_id) REFERENCES statements (id, source_id),
    CONSTRAINT statement_lines_source_id_fingerprint_occurrence_key
        UNIQUE (source_id, fingerprint, occurrence),
    CONSTRAINT statement_lines_statement_id_line_no_part_no_key
        UNIQUE (statement_id, line_no, part_no),
    CONSTRAINT line_amount_is_bounded CHECK (amount <> 0 AND abs(amount) < 1e15),
    CONSTRAINT line_amount_needs_no_rounding CHECK (scale(amount) <= 4),
    CONSTRAINT line_currency_is_a_code CHECK (currency ~ '^[A-Z]{{3}}$'),
    CONSTRAINT lines_are_numbered CHECK (line_no > 0 AND part_no >= 0),
    CONSTRAINT line_fingerprint_is_sha256 CHECK (length(fingerprint) = 32 AND occurrence > 0),
    CONSTRAINT line_booking_known CHECK (booking IN ('booked', 'pending', 'information')),
    CONSTRAINT line_status_known CHECK (status IN (
        'unmatched', 'suggested', 'matched', 'explained', 'returned', 'ignored')),
    CONSTRAINT ignored_line_has_a_reason CHECK (
        status <> 'ignored' OR status_reason IS NOT NULL)
)"""

# Not logged: rows live within one transaction.
STAGING = f"""
CREATE UNLOGGED TABLE statement_staging (
    file_id uuid NOT NULL,
    number integer NOT NULL,
    row_no integer NOT NULL,{_LINE}
    CONSTRAINT statement_staging_pkey PRIMARY KEY (file_id, number, row_no)
)"""

TABLES = {
    "recon_sources": SOURCES,
    "statement_files": FILES,
    "statement_file_chunks": CHUNKS,
    "statement_uploads": UPLOADS,
    "statements": STATEMENTS,
    "statement_lines": LINES,
    "statement_staging": STAGING,
}
INDEXES = (
    "CREATE UNIQUE INDEX recon_sources_tenant_name ON recon_sources (coalesce(tenant, ''), name)",
    "CREATE INDEX statement_files_by_source ON statement_files (source_id, id)",
    "CREATE INDEX statement_files_to_import ON statement_files (id) WHERE status = 'received'",
    "CREATE INDEX statement_files_quarantined ON statement_files (id) WHERE status = 'quarantined'",
    "CREATE INDEX statements_by_day ON statements (source_id, to_on, id)",
    "CREATE INDEX statement_lines_open ON statement_lines (source_id, id)"
    " WHERE status IN ('unmatched', 'suggested')",
    # Compressed already: trying costs time and saves nothing.
    "ALTER TABLE statement_file_chunks ALTER COLUMN data SET STORAGE EXTERNAL",
    "ALTER TABLE statement_uploads ALTER COLUMN data SET STORAGE EXTERNAL",
)

APPEND_ONLY = ("statement_file_chunks", "statements")
NEVER_DELETED = ("recon_sources", "statement_files", "statement_lines")
_FILE = "id, source_id, sha256, chunks_sha256, size_bytes, file_name, actor, created_at"
_LINE_COLUMNS = (
    "id, statement_id, source_id, line_no, part_no, amount, currency, booked_on, valued_on,"
    " end_to_end, bank_ref, batch_ref, code, reversal, return_reason, counterparty, remittance,"
    " charges, original_amount, original_currency, booking, fingerprint, occurrence"
)


def _row(version: str, columns: str) -> str:
    return f"({', '.join(f'{version}.{column.strip()}' for column in columns.split(','))})"


def _differ(columns: str) -> str:
    return f"{_row('OLD', columns)} IS DISTINCT FROM {_row('NEW', columns)}"


REFUSE_FORGED_DECISION = f"""
CREATE FUNCTION public.refuse_forged_decision() RETURNS trigger LANGUAGE plpgsql
SET search_path = {SAFE_PATH} AS $$
BEGIN
    RAISE EXCEPTION '% may not turn file % from % to %',
        current_user, NEW.id, OLD.status, NEW.status
        USING ERRCODE = 'check_violation', CONSTRAINT = 'file_decisions_are_not_forged',
              HINT = 'The API accepts or rejects quarantined files; the worker imports them.';
END $$"""

TRIGGERS = (
    f"""
CREATE TRIGGER accepted_files_never_change BEFORE UPDATE ON statement_files FOR EACH ROW
WHEN (OLD.status = 'accepted' OR {_differ(_FILE)})
EXECUTE FUNCTION refuse_change()""",
    f"""
CREATE TRIGGER file_decisions_are_not_forged BEFORE UPDATE ON statement_files FOR EACH ROW
WHEN (current_user = '{API}'
      AND (OLD.status <> 'quarantined' OR NEW.status NOT IN ('received', 'rejected')
           OR NEW.status = 'received' AND NEW.accepted_by IS NULL))
EXECUTE FUNCTION public.refuse_forged_decision()""",
    f"""
CREATE TRIGGER lines_never_change BEFORE UPDATE ON statement_lines FOR EACH ROW
WHEN ({_differ(_LINE_COLUMNS)})
EXECUTE FUNCTION refuse_change()""",
)

_SOURCE = (
    "tenant, name, account_identifier, currency, format, profile, channel, time_zone, grace_days"
)
_NEW_FILE = "id, source_id, sha256, chunks_sha256, size_bytes, file_name, actor"
_CHUNK = "chunk_no, data, size_bytes"
_DECISION = "status, problem_code, problem, problem_at, decided_at, accepted_by, accept_reason"
_STATEMENT = (
    "source_id, file_id, number, kind, bank_id, sequence, from_on, to_on, opening, closing, net,"
    " entry_count, line_count, known_count, known_net, previous_id, accepted_by"
)
_NEW_LINE = f"{_LINE_COLUMNS.removeprefix('id, ')}, status, status_reason"
_STAGED = (
    f"file_id, number, row_no, {_LINE_COLUMNS.removeprefix('id, statement_id, source_id, ')}"
).removesuffix(", fingerprint, occurrence")

GRANTS = (
    *(
        f"GRANT {privilege} ON {table} TO {API}, {WORKER}"
        for privilege, table in (
            (f"INSERT ({_SOURCE})", "recon_sources"),
            (f"INSERT ({_NEW_FILE})", "statement_files"),
            (f"INSERT (file_id, {_CHUNK})", "statement_file_chunks"),
            (f"SELECT, DELETE, INSERT (upload_id, {_CHUNK})", "statement_uploads"),
        )
    ),
    f"GRANT UPDATE ({_DECISION}) ON statement_files TO {API}",
    f"GRANT UPDATE (format, encoding, {_DECISION}) ON statement_files TO {WORKER}",
    f"GRANT INSERT ({_STATEMENT}) ON statements TO {WORKER}",
    f"GRANT INSERT ({_NEW_LINE}) ON statement_lines TO {WORKER}",
    f"GRANT UPDATE (status, status_reason) ON statement_lines TO {WORKER}",
    f"GRANT SELECT, DELETE, INSERT ({_STAGED}) ON statement_staging TO {WORKER}",
    f"GRANT INSERT (subject) ON operator_actions TO {API}, {WORKER}",
)
READABLE = (
    *("recon_sources", "statement_files", "statement_file_chunks", "statements"),
    "statement_lines",
)

ADD_ACTIONS = "ALTER TABLE operator_actions ADD CONSTRAINT action_known CHECK (action IN ("
BEFORE = "'create', 'replay', 'discard', 'create_key', 'rotate_key', 'revoke_key'"
SINCE = f"{BEFORE}, 'add_source', 'receive_statement', 'accept_statement', 'reject_statement'"
# Rows recorded by then stay: only new rows are checked.
BEFORE_AGAIN = f"""
DO $$ BEGIN IF EXISTS (SELECT FROM operator_actions WHERE action NOT IN ({BEFORE})) THEN
{ADD_ACTIONS}{BEFORE})) NOT VALID; ELSE {ADD_ACTIONS}{BEFORE})); END IF; END $$"""


def upgrade() -> None:
    """Create the tables with their guards and least privileges."""
    for table, statement in TABLES.items():
        op.execute(statement)
        op.execute(f"ALTER TABLE {table} OWNER TO payments_owner")
    for table in READABLE:
        op.execute(f"GRANT SELECT ON {table} TO {READERS}")
    for index in INDEXES:
        op.execute(index)
    _guard()
    op.execute("ALTER TABLE operator_actions ADD COLUMN subject text")
    op.execute("ALTER TABLE operator_actions DROP CONSTRAINT action_known")
    op.execute(f"{ADD_ACTIONS}{SINCE})) NOT VALID")
    for grant in GRANTS:
        op.execute(grant)


def _guard() -> None:
    """Create triggers that raise on a change of what is recorded."""
    op.execute(REFUSE_FORGED_DECISION)
    for table in (*APPEND_ONLY, *NEVER_DELETED):
        operations = "UPDATE OR DELETE" if table in APPEND_ONLY else "DELETE"
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE {operations} ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_never_truncated BEFORE TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
    for trigger in TRIGGERS:
        op.execute(trigger)


def downgrade() -> None:
    """Drop the tables with everything imported, and the actions."""
    op.execute("ALTER TABLE operator_actions DROP CONSTRAINT action_known")
    op.execute(BEFORE_AGAIN)
    op.execute("ALTER TABLE operator_actions DROP COLUMN subject")
    for table in reversed(TABLES):
        op.execute(f"DROP TABLE {table}")
    op.execute("DROP FUNCTION public.refuse_forged_decision()")
