"""The database rejects statements that do not add up, and changes of received data."""

import asyncpg
import pytest

from payments_api.migrate import migrate
from testkit.database.guarded_rows import insert
from testkit.database.sql import Sql

FILE = "00000000-0000-7000-8000-00000000000f"
OTHER = "00000000-0000-7000-8000-0000000000ff"


def _insert(table: str, values: dict[str, str], columns: dict[str, str]) -> str:
    id_is_given = "id" in columns and table != "statement_files"
    return insert(table, values, columns, id_is_given=id_is_given)


def _source(**columns: str) -> str:
    values = {"name": "'other'", "account_identifier": "'DE1'", "currency": "'EUR'"}
    return _insert("recon_sources", {**values, "format": "'auto'"}, columns)


def _file(**columns: str) -> str:
    values = {
        "id": f"'{OTHER}'",
        "source_id": "(SELECT min(id) FROM recon_sources)",
        "sha256": "sha256('other')",
        "chunks_sha256": "sha256('other')",
        "size_bytes": "1",
        "actor": "'ann'",
    }
    return _insert("statement_files", values, columns)


def _chunk(**columns: str) -> str:
    values = {"file_id": f"'{FILE}'", "chunk_no": "1", "data": "'x'", "size_bytes": "1"}
    return _insert("statement_file_chunks", values, columns)


def _statement(**columns: str) -> str:
    values = {
        "source_id": "(SELECT min(id) FROM recon_sources)",
        "file_id": f"'{FILE}'",
        "number": "2",
        "kind": "'statement'",
        "from_on": "'2026-11-27'",
        "to_on": "'2026-11-27'",
        "opening": "1",
        "closing": "3",
        "net": "2",
        "entry_count": "1",
        "line_count": "1",
    }
    return _insert("statements", values, columns)


def _line(**columns: str) -> str:
    values = {
        "statement_id": "(SELECT min(id) FROM statements)",
        "source_id": "(SELECT min(id) FROM recon_sources)",
        "line_no": "2",
        "part_no": "0",
        "amount": "2",
        "currency": "'EUR'",
        "booked_on": "'2026-11-27'",
        "reversal": "false",
        "booking": "'booked'",
        "fingerprint": "sha256('2')",
        "occurrence": "1",
        "status": "'unmatched'",
    }
    return _insert("statement_lines", values, columns)


@pytest.fixture
async def statements(sql: Sql) -> Sql:
    """Create a source with a file, its chunk, a statement and a line."""
    await sql.execute(_source(name="'bank'"))
    await sql.execute(_file(id=f"'{FILE}'", sha256="sha256('')"))
    await sql.execute(_chunk(chunk_no="0"))
    await sql.execute(_statement(number="1"))
    await sql.execute(_line(line_no="1", fingerprint="sha256('1')"))
    return sql


UPLOAD = f"INSERT INTO statement_uploads VALUES ('{FILE}', 0, 'x', 1)"
STAGED = (
    "INSERT INTO statement_staging (file_id, number, row_no, line_no, part_no, amount, currency,"
    f" booked_on, reversal, booking) VALUES ('{FILE}', 1, 1, 1, 0, 1, 'EUR', '2026-11-27', false,"
    " 'booked')"
)
MIN_SOURCE, MIN_STATEMENT = (
    "(SELECT min(id) FROM recon_sources)",
    "(SELECT min(id) FROM statements)",
)

CONSTRAINTS = {
    "recon_sources_pkey": _source(id=MIN_SOURCE),
    "recon_source_tenant_is_a_name": _source(tenant="'Acme'"),
    "recon_source_is_named": _source(name="'Bank'"),
    "account_identifier_is_normalised": _source(account_identifier="'de1'"),
    "recon_source_currency_is_a_code": _source(currency="'eur'"),
    "source_format_known": _source(format="'ofx'"),
    "profile_is_a_small_object": _source(profile="'[]'"),
    "channel_is_a_name": _source(channel="''"),
    "time_zone_is_named": _source(time_zone="''"),
    "grace_has_365_days_at_most": _source(grace_days="366"),
    "recon_sources_rule_set_fkey": _source(rule_set="99", currency="'USD'"),
    "statement_files_pkey": _file(id=f"'{FILE}'"),
    "statement_files_source_id_fkey": _file(source_id="0"),
    "statement_files_source_id_sha256_key": _file(sha256="sha256('')"),
    "file_hash_is_sha256": _file(chunks_sha256="''"),
    "file_has_bytes": _file(size_bytes="0"),
    "file_name_has_1_to_255_chars": _file(file_name="''"),
    "file_actor_is_named": _file(actor="''"),
    "file_status_known": _file(status="'lost'", decided_at="now()"),
    "file_problem_known": _file(
        status="'quarantined'",
        problem_code="'odd'",
        problem="'x'",
        problem_at="'x'",
        decided_at="now()",
    ),
    "quarantined_file_has_a_problem": _file(status="'quarantined'", decided_at="now()"),
    "decided_file_has_a_time": _file(status="'accepted'"),
    "file_is_vouched_for_with_a_reason": _file(accepted_by="'ann'"),
    "file_attempts_are_counted": _file(attempts="-1"),
    "statement_file_chunks_pkey": _chunk(chunk_no="0"),
    "statement_file_chunks_file_id_fkey": _chunk(file_id=f"'{OTHER}'"),
    "chunk_has_bytes": _chunk(size_bytes="0"),
    "statement_uploads_pkey": f"{UPLOAD}; {UPLOAD}",
    "statements_pkey": _statement(id=MIN_STATEMENT),
    "statements_id_source_id_key": "ALTER TABLE statements DROP CONSTRAINT statements_pkey CASCADE;"
    + _statement(id=MIN_STATEMENT),
    "statements_source_id_fkey": _statement(source_id="0"),
    "statements_file_id_fkey": _statement(file_id=f"'{OTHER}'"),
    "statements_file_id_number_key": _statement(number="1"),
    "statements_previous_id_fkey": _statement(previous_id="0"),
    "statement_kind_known": _statement(kind="'letter'"),
    "statement_covers_days": _statement(to_on="'2026-11-26'"),
    "statement_closes": _statement(closing="3.01"),
    "statement_counts_its_lines": _statement(known_count="2"),
    "statement_lines_pkey": _line(id="(SELECT min(id) FROM statement_lines)"),
    "statement_lines_statement_id_fkey": _line(statement_id="0"),
    "statement_lines_source_id_fingerprint_occurrence_key": _line(fingerprint="sha256('1')"),
    "statement_lines_statement_id_line_no_part_no_key": _line(line_no="1"),
    "line_amount_is_bounded": _line(amount="'NaN'"),
    "line_amount_needs_no_rounding": _line(amount="1.00001"),
    "line_currency_is_a_code": _line(currency="'eur'"),
    "lines_are_numbered": _line(line_no="0"),
    "line_fingerprint_is_sha256": _line(occurrence="0"),
    "line_booking_known": _line(booking="'maybe'"),
    "line_status_known": _line(status="'lost'"),
    "ignored_line_has_a_reason": _line(status="'ignored'"),
    "statement_staging_pkey": f"{STAGED}; {STAGED}",
}
ALSO_REFUSED = [
    ("line_amount_is_bounded", _line(amount="0")),
    ("line_amount_is_bounded", _line(amount="1e15")),
    ("account_identifier_is_normalised", _source(account_identifier="'DE 1'")),
    ("decided_file_has_a_time", _file(decided_at="now()")),
    ("quarantined_file_has_a_problem", _file(problem_code="'chain'")),
]


@pytest.mark.parametrize(("name", "statement"), [*CONSTRAINTS.items(), *ALSO_REFUSED])
async def test_each_constraint_refuses_by_its_name(
    statements: Sql, name: str, statement: str
) -> None:
    transaction = statements.transaction()
    await transaction.start()
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
        await statements.execute(statement)
    await transaction.rollback()
    assert refused.value.constraint_name == name


async def test_every_constraint_of_the_tables_is_in_the_table_above(sql: Sql) -> None:
    named = await sql.fetch(
        "SELECT conname FROM pg_constraint WHERE contype IN ('c', 'f', 'p', 'u')"
        " AND connamespace = 'public'::regnamespace"
        " AND conrelid::regclass::text ~ '^(recon_sources|statement)'"
    )
    assert {row[0] for row in named} == set(CONSTRAINTS)


async def test_a_source_has_one_name_in_its_tenant(statements: Sql) -> None:
    await statements.execute(_source(name="'bank'", tenant="'acme'"))
    for tenant in ("NULL", "'acme'"):
        with pytest.raises(asyncpg.UniqueViolationError, match="recon_sources_tenant_name"):
            await statements.execute(_source(name="'bank'", tenant=tenant))


TABLES = ("recon_sources", "statement_files", "statement_file_chunks", "statements")
ACCEPT = "UPDATE statement_files SET status = 'accepted', decided_at = now();"
CHANGES = [
    *(f"DELETE FROM {table}" for table in (*TABLES, "statement_lines")),
    *(f"TRUNCATE {table} CASCADE" for table in (*TABLES, "statement_lines")),
    "UPDATE statement_file_chunks SET data = 'y'",
    "UPDATE statements SET closing = closing",
    "UPDATE statement_files SET sha256 = sha256('y')",
    "UPDATE statement_files SET actor = 'bob'",
    f"{ACCEPT} UPDATE statement_files SET status = 'received', decided_at = NULL",
    *(
        f"UPDATE statement_lines SET {column} = {value}"
        for column, value in {
            "amount": "3",
            "currency": "'USD'",
            "booked_on": "'2026-11-28'",
            "valued_on": "'2026-11-28'",
            "end_to_end": "'x'",
            "bank_ref": "'x'",
            "batch_ref": "'x'",
            "code": "'x'",
            "reversal": "true",
            "return_reason": "'x'",
            "counterparty": "'x'",
            "remittance": "'x'",
            "charges": "1",
            "original_amount": "1",
            "original_currency": "'USD'",
            "booking": "'pending'",
            "fingerprint": "sha256('x')",
            "occurrence": "2",
            "line_no": "3",
            "part_no": "1",
        }.items()
    ),
]


@pytest.mark.parametrize("change", CHANGES)
async def test_received_data_never_changes(statements: Sql, change: str) -> None:
    before = [await statements.fetch(f"SELECT * FROM {table}") for table in TABLES]
    with pytest.raises(asyncpg.RestrictViolationError, match="never changed"):
        await statements.execute(change)
    assert [await statements.fetch(f"SELECT * FROM {table}") for table in TABLES] == before


async def test_a_line_may_change_its_status(statements: Sql) -> None:
    await statements.execute("UPDATE statement_lines SET status = 'ignored', status_reason = 'x'")


QUARANTINE = (
    "UPDATE statement_files SET status = 'quarantined', problem_code = 'chain', problem = 'x',"
    " problem_at = 'x', decided_at = now()"
)
NO_PROBLEM = "problem_code = NULL, problem = NULL, problem_at = NULL"


@pytest.mark.parametrize(
    ("first", "decision"),
    [
        ("SELECT", "status = 'accepted', decided_at = now()"),
        (QUARANTINE, f"status = 'accepted', {NO_PROBLEM}"),
        (QUARANTINE, f"status = 'received', decided_at = NULL, {NO_PROBLEM}"),
    ],
    ids=["accepts at once", "accepts without an import", "vouches for no one"],
)
async def test_the_api_may_only_decide_about_quarantined_files(
    statements: Sql, api_url_of_database: str, first: str, decision: str
) -> None:
    await statements.execute(first)
    api = await asyncpg.connect(api_url_of_database)
    try:
        with pytest.raises(asyncpg.CheckViolationError) as refused:
            await api.execute(f"UPDATE statement_files SET {decision}")
        assert refused.value.constraint_name == "file_decisions_are_not_forged"
        await statements.execute(QUARANTINE)
        await api.execute(
            "UPDATE statement_files SET status = 'received', decided_at = NULL,"
            f" accepted_by = 'ann', accept_reason = 'x', {NO_PROBLEM}"
        )
    finally:
        await api.close()


UNFINISHED = QUARANTINE.replace("'chain'", "'unfinished'")


async def test_the_api_vouches_for_nothing_when_it_has_an_import_tried_again(
    statements: Sql, api_url_of_database: str
) -> None:
    await statements.execute(UNFINISHED)
    api = await asyncpg.connect(api_url_of_database)
    try:
        await api.execute(
            f"UPDATE statement_files SET status = 'received', decided_at = NULL, {NO_PROBLEM}"
        )
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await api.execute("UPDATE statement_files SET attempts = 0")
    finally:
        await api.close()


async def test_a_downgrade_keeps_a_file_whose_import_never_ended_quarantined(
    empty_url: str,
) -> None:
    await migrate(empty_url)
    connection = await asyncpg.connect(empty_url)
    try:
        await connection.execute(_source(name="'bank'"))
        await connection.execute(_file())
        await connection.execute(UNFINISHED)
        await migrate(empty_url, "0025")
        assert await connection.fetchval("SELECT problem_code FROM statement_files") == "malformed"
        await migrate(empty_url)
    finally:
        await connection.close()
