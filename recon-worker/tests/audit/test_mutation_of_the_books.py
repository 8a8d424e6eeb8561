"""Mutation of the books: audit or seals name each row that a superuser changes.

Triggers and CHECK constraints are disabled. Each mutation runs in a transaction that the checks can
read, and is rolled back.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.audit_log import Operator
from payments_core.db.engine import create_engine, transaction
from payments_core.queue.dead_letters import discard
from recon_worker.audit.auditor import audit_on
from recon_worker.sealing.chain import read_head
from recon_worker.sealing.compare import never_handed_out
from recon_worker.sealing.heads import KeptHead, check_heads
from recon_worker.sealing.verify import Walk, verify_chain
from testkit.database.adjustments import adjust_five
from testkit.database.backlog import add_payments
from testkit.database.ledgers.sealed import last_head, seal_all
from testkit.database.ledgers.settled import FAST, settle_four, until_all_settled
from testkit.database.reversals import add_reversal
from testkit.database.sql import Sql
from testkit.worker.own_system import running_worker

from .mutations import ANOTHER, FORGED, NO_MONEY, PLAUSIBLE, ROWS, UNSEEN

KEY = b"k" * 32
KEYS = {
    "id",
    "payment_id",
    "reversal_id",
    "adjustment_id",
    "job_id",
    "account_id",
}  # Of an offending row.
TABLES = (
    "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
)
COLUMNS = """
SELECT column_name, data_type, udt_name, is_identity FROM information_schema.columns
WHERE table_schema = 'public' AND table_name = $1 ORDER BY ordinal_position"""
CHECKS = "SELECT conname FROM pg_constraint WHERE contype = 'c' AND conrelid = $1::regclass"


@dataclass(frozen=True)
class Books:
    """A superuser's connection in a transaction, and a head of the chain kept elsewhere."""

    connection: AsyncConnection
    head: KeptHead

    async def run(self, statement: str) -> None:
        await self.connection.exec_driver_sql(statement)

    async def rows(self, statement: str) -> Sequence[RowMapping]:
        return (await self.connection.exec_driver_sql(statement)).mappings().all()

    async def named(self) -> set[Any]:
        """Return the identifiers of every row that audit or seals report."""
        names: set[Any] = set()
        for finding in await audit_on(self.connection, "full"):
            for offender in finding.offenders:
                keys = offender.keys() & KEYS
                names |= {offender[key] for key in keys}
        walk = Walk()
        head = await read_head(self.connection)
        async for _ in verify_chain(self.connection, walk, head.seq, [KEY]):
            pass
        found = [*walk.findings, *await never_handed_out(self.connection, head)]
        found += await check_heads(self.connection, [self.head])
        for one in found:
            of_seal = one.entry_id is None and one.result_id is None
            rows = {one.entry_id, one.result_id, one.payment_id and UUID(one.payment_id)}
            names |= {("seal", one.seq)} if of_seal else rows - {None}
        return names


@pytest.fixture
async def books(sql: Sql, migrated_url: str, worker_url_of_database: str) -> AsyncIterator[Books]:
    """Payments and reversals of them, under two signed seals.

    Four payments are settled, one is discarded, one is pending. Three reversals of the first
    payment are completed, discarded and pending. There is an adjustment of each status.
    """
    # Ids differ between tables.
    for table, first in (("recon_jobs", 1001), ("reconciliation_results", 2001)):
        await sql.execute(f"SELECT setval('{table}_id_seq', {first}, false)")
    reversed_, *_ = await settle_four(sql, worker_url_of_database)
    await add_reversal(sql, reversed_, "1")
    async with running_worker(worker_url_of_database, clearing_shards=1, **FAST):
        await until_all_settled(sql)
    engine = create_engine(migrated_url, application_name="forger", pool_size=2)
    await adjust_five(sql, engine)
    await seal_all(engine, [KEY])
    await add_payments(sql, [("a", "8", "USD")])
    await add_reversal(sql, reversed_, "2")
    dead = "UPDATE recon_jobs SET status = 'failed', last_error = 'x' WHERE status = 'pending'"
    for (job_id,) in await sql.fetch(f"{dead} RETURNING id"):
        async with transaction(engine) as tx:
            await discard(tx, job_id, Operator("ann"), "a test")
    await seal_all(engine, [KEY])
    head = await last_head(engine)
    await add_payments(sql, [("a", "9", "USD")])
    await add_reversal(sql, reversed_, "1")
    async with engine.connect() as connection:
        await connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        for table in ROWS:
            for check in await sql.fetch(CHECKS, table):
                await connection.exec_driver_sql(f"ALTER TABLE {table} DROP CONSTRAINT {check[0]}")
        yield Books(connection, head)
        await connection.rollback()
    await engine.dispose()


def _names(table: str, rows: Sequence[RowMapping]) -> set[Any]:
    """Return the identifiers of the table's row before and after the mutation."""
    keys = {"accounts": ["account_id"], "ledger_seals": []}.get(table, ["id", "payment_id"])
    named = {row[key] for row in rows for key in keys if key in row}
    return named | {("seal", row["seq"]) for row in rows if table == "ledger_seals"}


async def _is_named(books: Books, table: str, where: str, mutation: str) -> bool:
    """Mutate, audit and roll back; return whether the row was reported."""
    before = await books.rows(f"SELECT * FROM {table}")
    mutated_rows = await books.rows(f"SELECT * FROM {table} WHERE {where}")
    assert len(mutated_rows) == 1, f"{table} WHERE {where}"
    await books.run("SAVEPOINT honest")
    await books.run(mutation)
    changed = [row for row in await books.rows(f"SELECT * FROM {table}") if row not in before]
    assert changed or mutation.startswith("DELETE"), mutation
    touched = changed if mutation.startswith("INSERT") else [*mutated_rows, *changed]
    named = await books.named()
    await books.run("ROLLBACK TO honest")
    return bool(named & _names(table, touched))


async def test_every_table_is_in_the_books_or_has_a_reason(sql: Sql) -> None:
    assert {row[0] for row in await sql.fetch(TABLES)} == ROWS.keys() | NO_MONEY.keys()


async def test_unchanged_books_have_no_finding(books: Books) -> None:
    assert await books.named() == set()


@pytest.mark.parametrize("table", ROWS)
async def test_each_mutation_of_the_books_is_found(sql: Sql, books: Books, table: str) -> None:
    columns = await sql.fetch(COLUMNS, table)
    for column in columns:
        if column["is_identity"] == "YES":
            change = f"ALTER COLUMN {column['column_name']} SET GENERATED BY DEFAULT"
            await books.run(f"ALTER TABLE {table} {change}")
    unseen = set()
    for kind, where in ROWS[table].items():
        mutations = {"DELETE": f"DELETE FROM {table} WHERE {where}"}
        honest = [FORGED[table].get(c["column_name"], c["column_name"]) for c in columns]
        mutations["INSERT"] = (
            f"INSERT INTO {table} SELECT {', '.join(honest)} FROM {table} WHERE {where}"
        )
        for column in columns:
            name = column["column_name"]
            generic = ANOTHER.get(column["data_type"]) or ANOTHER[column["udt_name"]]
            value = PLAUSIBLE.get((table, name), generic.format(name))
            mutations[name] = f"UPDATE {table} SET {name} = {value} WHERE {where}"
        for name, mutation in mutations.items():
            if not await _is_named(books, table, where, mutation):
                unseen.add((table, kind, name))
    assert unseen == {one for one in UNSEEN if one[0] == table}
