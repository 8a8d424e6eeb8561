"""Mutation of statements: the auditor names each row that a superuser changes.

Every column of every row is changed, deleted or forged with triggers and constraints disabled.
"""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_core.audit_log import Operator
from payments_core.db.engine import create_engine, transaction
from payments_core.statements.files import decide
from payments_core.statements.receive import receive_file
from payments_core.statements.sources import NewSource, add_source, find_source
from recon_worker.audit.auditor import audit_on
from recon_worker.audit.findings import Mode
from recon_worker.audit.statements import STATEMENT_INVARIANTS
from recon_worker.statements.importing.load import import_file
from testkit.camt_files import ACCOUNT, Day, Entry, camt053
from testkit.database.ledgers.settled import findings_of
from testkit.database.sql import Sql

NAMES = {invariant.name for invariant in STATEMENT_INVARIANTS}
FIRST = Day([Entry("20.00", "2026-11-26"), Entry("-3.50", "2026-11-26")], from_on="2026-11-26")
SECOND = Day([Entry("1.00"), Entry("-1.00")], "116.50", bank_id="S2")
THIRD = Day([Entry("1.00", "2026-11-28")], "500.00", from_on="2026-11-28", bank_id="S3")

# A table → the row that is changed, and the value that makes it another one, by type.
ROWS = {
    "statement_files": "id = (SELECT max(id::text)::uuid FROM statement_files)",
    "statement_file_chunks": "file_id = (SELECT max(id::text)::uuid FROM statement_files)",
    "statements": "bank_id = 'S2'",
    "statement_lines": "amount = 1",
}
ANOTHER = {
    "text": "coalesce({0}, '') || 'x'",
    "numeric": "coalesce({0}, 0) + 0.01",
    "bigint": "coalesce({0}, 0) + 100000",
    "integer": "coalesce({0}, 0) + 7",
    "boolean": "NOT {0}",
    "uuid": "gen_random_uuid()",
    "bytea": "sha256(coalesce({0}, ''))",
    "date": "coalesce({0}, '2026-01-01') + 1",
    "timestamp with time zone": "coalesce({0}, now()) + interval '1 microsecond'",
}
STORY = "who sent it, under which name, and when; no sum depends on it"
LABEL = "what the bank calls the statement, for people; its lines and balances are held"
ORDER = "the place of a line in its statement, for people; its words are held by the fingerprint"
SCHEDULE = "when an import is tried again; an accepted file is not"
MATCHING = "what matching says of the line: changed by matching and by operators"
UNSEEN = {
    **{("statement_files", column): STORY for column in ("file_name", "actor", "created_at")},
    **{
        ("statement_files", column): "an operator's or the import's words about the file"
        for column in ("format", "encoding", "problem_code", "problem", "problem_at", "decided_at")
    },
    ("statement_files", "attempts"): SCHEDULE,
    ("statement_files", "retry_at"): SCHEDULE,
    (
        "statement_files",
        "sha256",
    ): "checked against the bytes when the file is read, exported or verified",
    **{
        ("statements", column): LABEL
        for column in (
            "bank_id",
            "sequence",
            "number",
            "created_at",
            "from_on",
            "to_on",
            "entry_count",
        )
    },
    **{("statement_lines", column): ORDER for column in ("id", "line_no", "part_no", "occurrence")},
    **{("statement_lines", column): MATCHING for column in ("status", "status_reason")},
}
PLAUSIBLE = {
    ("statement_files", "status"): "'rejected'",
    ("statements", "kind"): "'report'",
    ("statement_lines", "booking"): "'pending'",
}
COLUMNS = """
SELECT column_name, data_type FROM information_schema.columns
WHERE table_schema = 'public' AND table_name = $1 ORDER BY ordinal_position"""


async def _import(engine: AsyncEngine, source: Any, data: bytes, status: str = "accepted") -> UUID:
    async def pieces() -> AsyncIterator[bytes]:
        yield data

    file, _ = await receive_file(
        engine, source, pieces(), file_name="x", operator=Operator("ann"), bytes_max=10**9
    )
    assert (await import_file(engine, file.id)).status == status
    return UUID(str(file.id))


@pytest.fixture
async def statements(sql: Sql, engine: AsyncEngine) -> None:
    """Two statements that chain, each in its file."""
    async with transaction(engine) as tx:
        source = await add_source(tx, NewSource("bank", ACCOUNT, "EUR"), Operator("ann"))
    for day in (FIRST, SECOND):
        await _import(engine, source, camt053(day))


@pytest.fixture
async def forger(statements: None, sql: Sql, migrated_url: str) -> AsyncIterator[AsyncConnection]:
    """A superuser's transaction without triggers, checks and keys, which is rolled back."""
    engine = create_engine(migrated_url, application_name="forger", pool_size=1)
    async with engine.connect() as connection:
        await connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        for table in ROWS:
            constraints = await sql.fetch(
                "SELECT conname FROM pg_constraint"
                " WHERE conrelid = $1::regclass AND contype <> 'n'",
                table,
            )
            for (name,) in constraints:
                await connection.exec_driver_sql(
                    f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name} CASCADE"
                )
        yield connection
        await connection.rollback()
    await engine.dispose()


async def _broken(connection: AsyncConnection) -> set[str]:
    findings = await audit_on(connection, "full")
    return {each.invariant.name for each in findings if each.offending}


@pytest.mark.usefixtures("statements")
@pytest.mark.parametrize("mode", ["incremental", "full"])
async def test_honest_statements_break_no_invariant(engine: AsyncEngine, mode: Mode) -> None:
    findings = await findings_of(engine, mode)
    assert findings.keys() >= NAMES
    assert {name: each.offenders for name, each in findings.items() if each.offending} == {}


@pytest.mark.parametrize("table", ROWS)
async def test_each_mutation_of_a_statement_is_named(
    sql: Sql, forger: AsyncConnection, table: str
) -> None:
    where = ROWS[table]
    columns = await sql.fetch(COLUMNS, table)
    mutations = {"DELETE": f"DELETE FROM {table} WHERE {where}"}
    mutations["INSERT"] = (
        f"INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM {table} WHERE {where}"
    )
    for column, kind in columns:
        value = PLAUSIBLE.get((table, column), ANOTHER[kind].format(column))
        mutations[column] = f"UPDATE {table} SET {column} = {value} WHERE {where}"
    for column in ("id",):
        if table in ("statements", "statement_lines"):
            await forger.exec_driver_sql(
                f"ALTER TABLE {table} ALTER COLUMN {column} SET GENERATED BY DEFAULT"
            )
    unseen = set()
    for name, mutation in mutations.items():
        await forger.exec_driver_sql("SAVEPOINT honest")
        changed = (await forger.exec_driver_sql(mutation)).rowcount
        assert changed == 1, mutation
        if not await _broken(forger) & NAMES:
            unseen.add((table, name))
        await forger.exec_driver_sql("ROLLBACK TO honest")
    assert unseen == {one for one in UNSEEN if one[0] == table}


@pytest.fixture
async def accepted(statements: None, engine: AsyncEngine) -> None:
    """A third file, which ada accepted although it opens with another balance."""
    async with transaction(engine) as tx:
        source = await find_source(tx, "bank", None)
    file_id = await _import(engine, source, camt053(THIRD), "quarantined")
    async with transaction(engine) as tx:
        await decide(tx, file_id, Operator("ada"), "the bank confirms it", accept=True)
    assert (await import_file(engine, file_id)).status == "accepted"


@pytest.mark.usefixtures("accepted")
@pytest.mark.parametrize(("bank_id", "name"), [("S3", "'bob'"), ("S3", "NULL"), ("S2", "'ada'")])
async def test_a_name_of_an_acceptance_that_is_not_on_record_is_found(
    forger: AsyncConnection, bank_id: str, name: str
) -> None:
    assert await _broken(forger) == set()
    of_file = f"(SELECT file_id FROM statements WHERE bank_id = '{bank_id}')"
    for change in (
        f"statement_files SET accepted_by = {name}, accept_reason = 'the bank ' || {name}"
        f" WHERE id = {of_file}",
        f"statements SET accepted_by = {name} WHERE file_id = {of_file}",
    ):
        await forger.exec_driver_sql(f"UPDATE {change}")
    assert "acceptance_is_on_record" in await _broken(forger)


BREAKS = {
    "statement_closes": "UPDATE statements SET closing = closing + 1, previous_id = NULL",
    "balances_chain": "UPDATE statements SET opening = opening + 1, closing = closing + 1"
    " WHERE bank_id = 'S2'",
    "accepted_file_has_statements": "UPDATE statement_files SET status = 'received'",
    "acceptance_is_on_record": "UPDATE operator_actions SET action = 'accept_statement'",
    "statement_has_its_lines": "DELETE FROM statement_lines WHERE amount = 1",
    "line_is_as_received": "UPDATE statement_lines SET remittance = 'x' WHERE amount = 1",
    "file_hash_matches_its_bytes": "UPDATE statement_file_chunks SET data = 'x'",
}


@pytest.mark.parametrize("name", sorted(NAMES))
@pytest.mark.parametrize("hours", [0, 2])
async def test_each_invariant_is_broken_and_found_early_or_late(
    forger: AsyncConnection, name: str, hours: int
) -> None:
    for table in ("statement_files", "statements"):
        await forger.exec_driver_sql(
            f"UPDATE {table} SET created_at = created_at - interval '{hours} hours'"
        )
    assert await _broken(forger) == set()
    await forger.exec_driver_sql(BREAKS[name])
    assert name in await _broken(forger)
