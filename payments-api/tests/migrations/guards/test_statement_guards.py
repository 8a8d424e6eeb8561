"""Triggers reject changes of received data, and decisions that are not a service's to make."""

import asyncpg
import pytest

from payments_api.migrate import migrate
from testkit.database.sql import Sql

from .statement_rows import insert_file, insert_source

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
        await connection.execute(insert_source(name="'bank'"))
        await connection.execute(insert_file())
        await connection.execute(UNFINISHED)
        await migrate(empty_url, "0025")
        assert await connection.fetchval("SELECT problem_code FROM statement_files") == "malformed"
        await migrate(empty_url)
    finally:
        await connection.close()
