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
from testkit.database.backlog import Sql, add_payments
from testkit.database.reversals import add_reversal
from testkit.database.sealed_ledger import last_head, seal_all
from testkit.database.settled_ledger import FAST, settle_four, until_all_settled
from testkit.worker.own_system import running_worker

KEY = b"k" * 32
KEYS = {
    "id",
    "payment_id",
    "reversal_id",
    "adjustment_id",
    "job_id",
    "account_id",
}  # Of an offending row.

SETTLED_BY = "id = (SELECT payment_id FROM reconciliation_results WHERE {})"
# The mutated rows of each table, by the payment or seal that they belong to.
ROWS = {
    "payments": {
        "completed": SETTLED_BY.format("status = 'completed' ORDER BY id LIMIT 1"),
        "discrepancy": SETTLED_BY.format("status = 'completed_with_discrepancy'"),
        "failed": SETTLED_BY.format("status = 'failed' AND rule_version = 1"),
        "discarded": SETTLED_BY.format("rule_version = 0 AND payment_id IS NOT NULL"),
        "pending": "status = 'pending'",
    },
    "reversals": {
        "completed": "status = 'completed'",
        "discarded": "status = 'failed'",
        "pending": "status = 'pending'",
    },
    "reversal_totals": {"of a payment": "true"},
    "recon_adjustments": {
        kind: f"status = '{kind}'"
        for kind in ("proposed", "approved", "rejected", "posted", "failed")
    },
    "recon_jobs": {
        "settled": "id = 1001",
        "pending": "status = 'pending' AND payment_id IS NOT NULL",
        "of a settled reversal": "id = 1005",
        "of a pending reversal": "reversal_id IS NOT NULL AND status = 'pending'",
    },
    "reconciliation_results": {
        "completed": "id = 2001",
        "discrepancy": "status = 'completed_with_discrepancy'",
        "failed": "status = 'failed' AND rule_version = 1",
        "discarded": "rule_version = 0 AND payment_id IS NOT NULL",
        "reversed": "reversal_id IS NOT NULL AND rule_version = 1",
        "discarded reversal": "reversal_id IS NOT NULL AND rule_version = 0",
    },
    "ledger_entries": {
        "payment": "id = 1",
        "clearing": "id = 6",
        "reversal": "entry_type = 'reversal'",
        "clearing of a reversal": "reversal_id IS NOT NULL AND entry_type = 'clearing'",
        "adjustment": "entry_type = 'adjustment'",
        "clearing of an adjustment": "posting_kind = 'adjustment' AND entry_type = 'clearing'",
    },
    "accounts": {
        "customer": "account_id = 'a'",
        "clearing": "account_id LIKE 'sys:clearing:%'",
        "adjustment": "account_id LIKE 'sys:adjustment:%'",
    },
    "ledger_seals": {"first": "seq = 1", "last": "seq = 2"},
}
STATEMENTS = "what banks say of the books: test_statements.py mutates it"
NO_MONEY = {
    "alembic_version": "the schema's revision",
    "api_keys": "access",
    "audit_findings": "what the auditor found",
    **dict.fromkeys(
        (
            *("match_legs", "open_entries", "recon_breaks", "recon_cuts", "recon_days"),
            *("recon_matches", "recon_rule_sets", "recon_runs", "recon_sources"),
        ),
        "what matching says of the books: test_mutation_of_matching.py mutates it",
    ),
    "audit_progress": "where an incremental audit goes on; a full one needs none of it",
    "job_deaths": "that a job died; its payment stays open until an operator decides",
    "last_backup": "when a backup was taken",
    "operator_actions": "who did what; a discard that is not on record is found by its result",
    **dict.fromkeys(("statement_uploads", "statement_staging"), STATEMENTS),
    **dict.fromkeys(("statement_files", "statement_file_chunks"), STATEMENTS),
    **dict.fromkeys(("statements", "statement_lines"), STATEMENTS),
    "seal_verification": "what verifying found; `audit --seal` needs none of it",
    **dict.fromkeys(
        ("webhook_endpoints", "webhook_secrets", "webhook_deliveries", "webhook_attempts"),
        "what tells others of the books: the event log has the events",
    ),
    **dict.fromkeys(("webhook_cursor", "webhook_disablings"), "how far it has been told"),
    "worker_throughput": "figures",
    "workers": "signs of life",
}

WAITS = "sealed when it settles; until then its text is held by the fingerprint alone"
SCHEDULE = "when and by which worker a job is run; its subject settles once all the same"
# Mutations that no check detects, and the reason. docs/decisions/0024-tamper-evidence.md says the
# same.
UNSEEN = {
    **{
        (table, "pending", column): WAITS
        for table in ("payments", "reversals")
        for column in ("idempotency_key", "traceparent")
    },
    **{
        ("recon_jobs", kind, column): SCHEDULE
        for kind in ROWS["recon_jobs"]
        for column in (
            "priority",
            "attempts",
            "max_attempts",
            "run_at",
            "locked_by",
            "locked_at",
            "locked_until",
            "lease_token",
            "last_error",
            "traceparent",
            "created_at",
            "updated_at",
        )
    },
    **{
        ("recon_jobs", kind, "id"): "a job's number means nothing until a result has it"
        for kind in ("pending", "of a pending reversal")
    },
    **{
        ("recon_jobs", kind, "DELETE"): "finished jobs are pruned; results stay"
        for kind in ("settled", "of a settled reversal")
    },
    **{
        ("accounts", kind, "created_at"): "shown by no page and used by no sum"
        for kind in ROWS["accounts"]
    },
    **{
        ("recon_adjustments", kind, column): "when it was; the audit log has the time too"
        for kind, columns in {
            "proposed": ("proposed_at",),
            **dict.fromkeys(("approved", "rejected"), ("proposed_at", "decided_at")),
            **dict.fromkeys(("posted", "failed"), ("proposed_at", "decided_at", "settled_at")),
        }.items()
        for column in columns
    },
    ("recon_adjustments", "failed", "failure"): "what kept it back; nothing was posted",
    (
        "ledger_seals",
        "first",
        "mac",
    ): "a seal before the first that a known key signed may be of a key that has been retired",
}

ANOTHER = {
    "text": "coalesce({0}, '') || 'x'",
    "numeric": "coalesce({0}, 0) + 0.01",
    "bigint": "coalesce({0}, 0) + 100000",
    "integer": "coalesce({0}, 0) + 7",
    "smallint": "coalesce({0}, 0) + 7",
    "boolean": "NOT {0}",
    "uuid": "gen_random_uuid()",
    "bytea": "sha256(coalesce({0}, ''))",
    "timestamp with time zone": "coalesce({0}, now()) + interval '1 microsecond'",
    "jsonb": """coalesce({0}, '{{}}') || '{{"x": "y"}}'""",
    "_int8": "{0} || 1::bigint",
    "int8multirange": "{0} + '{{[100000,100001)}}'",
}
# A forger's value for columns with a fixed set of values.
PLAUSIBLE = {
    ("payments", "status"): "CASE status WHEN 'failed' THEN 'pending' ELSE 'failed' END",
    ("reversals", "status"): "CASE status WHEN 'failed' THEN 'pending' ELSE 'failed' END",
    ("recon_adjustments", "status"): "CASE status WHEN 'posted' THEN 'failed' ELSE 'posted' END",
    ("recon_jobs", "status"): "CASE status WHEN 'completed' THEN 'failed' ELSE 'completed' END",
    ("reconciliation_results", "status"): "CASE status WHEN 'failed' THEN 'completed'"
    " ELSE 'failed' END",
    ("reconciliation_results", "rule_version"): "1 - rule_version",
    ("ledger_entries", "direction"): "CASE direction WHEN 'debit' THEN 'credit' ELSE 'debit' END",
    ("ledger_entries", "posting_kind"): "CASE posting_kind WHEN 'payment' THEN 'reversal'"
    " ELSE 'payment' END",
    ("ledger_seals", "format_version"): "1",
}
OF_ONE = {
    f"{kind}_id": f"CASE WHEN {kind}_id IS NOT NULL THEN gen_random_uuid() END"
    for kind in ("payment", "reversal")
}
# Inserted rows, as columns that differ from a genuine row.
FORGED = {
    "payments": {"id": "gen_random_uuid()", "idempotency_key": "'forged'"},
    "reversals": {"id": "gen_random_uuid()", "idempotency_key": "'forged'"},
    "reversal_totals": {"payment_id": "gen_random_uuid()"},
    "recon_adjustments": {
        "id": "gen_random_uuid()",
        "line_id": "(SELECT line_id FROM recon_adjustments WHERE status = 'rejected')",
    },
    "recon_jobs": {"id": "9001", **OF_ONE},
    "reconciliation_results": {"id": "2001 - 500", **OF_ONE},
    "ledger_entries": {"id": "9001", "payment_id": "gen_random_uuid()", "account_seq": "900"},
    "accounts": {"account_id": "'ghost'"},
    "ledger_seals": {"seq": "3", "previous_hash": "sha256('')"},
}

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
