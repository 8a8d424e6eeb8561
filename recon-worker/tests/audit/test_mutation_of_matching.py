"""Mutation of matching: the auditor names what a superuser changes, or a reason says why not.

Every column of a row of each table is changed, and the row deleted or forged, with triggers and
constraints disabled.
"""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_core.audit_log import Operator
from payments_core.db.engine import create_engine, transaction
from payments_core.matching.matches import undo_match
from payments_core.statements.sources import find_source
from recon_worker.audit.auditor import audit_on
from recon_worker.audit.matching import MATCHING_INVARIANTS
from recon_worker.statements.matching.run import run_matching
from testkit.database.matching_books import DAY, Entry, Line, add_entries, add_source, add_statement
from testkit.database.sql import Sql

NAMES = {invariant.name for invariant in MATCHING_INVARIANTS}

# A table → its mutated rows.
ROWS = {
    "recon_sources": {"of open items": "true"},
    "recon_rule_sets": {"in use": "version = 1"},
    "recon_cuts": {"of a source": "true"},
    "recon_days": {"of a source": "true"},
    "open_entries": {"missing": "reference = 'missing'"},
    "recon_runs": {"with matches": "undone_at IS NULL"},
    "recon_matches": {
        "by a rule": "undone_at IS NULL",
        "undone": "undone_at IS NOT NULL",
    },
    "match_legs": {
        "of a line": "side = 'line' AND active",
        "of an entry": "side = 'entry' AND active",
        "undone": "side = 'line' AND NOT active",
    },
    "recon_breaks": {
        "of a line": "side = 'line' AND amount = -1",
        "of an entry": "side = 'entry' AND amount = 9",
        "resolved": "resolved_at IS NOT NULL",
    },
}
# Mutations that no invariant detects, by the kinds of rows and the columns, with the reason.
REASONS: dict[str, dict[tuple[str, str], tuple[str, ...]]] = {
    "a setting, which the next import or run goes by; what it stored is held": {
        ("recon_sources", "of open items"): ("account_identifier", "format", "name", "profile"),
    },
    "a source that no statement, entry or match names; the audit log has no one who added it": {
        ("recon_sources", "of open items"): ("INSERT",),
    },
    "when it was; no sum and no status depends on it": {
        ("recon_sources", "of open items"): ("created_at",),
        ("recon_rule_sets", "in use"): ("created_at",),
        ("recon_cuts", "of a source"): ("updated_at",),
        ("recon_matches", "by a rule"): ("created_at",),
        ("recon_matches", "undone"): ("created_at", "undone_at"),
        ("recon_breaks", "resolved"): ("resolved_at",),
    },
    "what the run saw and said of a moment that is past; its matches and counts are held": {
        ("recon_runs", "with matches"): (
            *("as_of", "cut_entry_id", "cut_line_id", "input_hash", "output_hash"),
            *("started_at", "finished_at", "verdict", "verdict_on", "residual"),
        ),
    },
    "who undid it and why, which the audit log has; matches may outlive it while it goes on": {
        ("recon_runs", "with matches"): ("undone_at", "undone_by", "undone_reason"),
    },
    "words for people; the audit log has those of a person": {
        ("recon_matches", "by a rule"): ("why", "undone_by", "undone_reason"),
        ("recon_matches", "undone"): ("why", "undone_by", "undone_reason"),
        **{
            ("recon_breaks", kind): ("assignee", "note")
            for kind in ("of a line", "of an entry", "resolved")
        },
    },
    "which of two open statuses an undo restores; the next run sets it anew": {
        ("match_legs", kind): ("former_status",) for kind in ("of a line", "undone")
    },
    "who resolved it: its match or the line's status says so too": {
        ("recon_breaks", "resolved"): ("resolved_by",),
    },
    "a list of work: the next run opens it again if its item is open": {
        ("recon_breaks", kind): ("DELETE",) for kind in ("of a line", "of an entry", "resolved")
    },
}
UNSEEN = {
    (table, kind, change)
    for kinds in REASONS.values()
    for (table, kind), changes in kinds.items()
    for change in changes
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
    "date": "coalesce({0}, '2026-01-01') + 1",
    "timestamp with time zone": "coalesce({0}, now()) + interval '1 microsecond'",
    "jsonb": """jsonb_set(coalesce({0}, '{{}}'), '{{lines}}', '7')""",
}
# A forger's value for columns with a fixed set of values.
PLAUSIBLE = {
    ("recon_sources", "time_zone"): "'Pacific/Kiritimati'",
    ("recon_sources", "tenant"): "'acme'",
    ("recon_runs", "verdict"): "'reconciled'",
    ("recon_matches", "rule"): "'batch_sum'",
    ("recon_breaks", "class"): "CASE class WHEN 'bank_only' THEN 'missing_in_bank' ELSE"
    " 'bank_only' END",
}
# Forged rows, as columns that differ from a genuine row.
FORGED = {
    "recon_sources": {"id": "9001", "name": "'forged'", "channel": "'forged'"},
    "recon_rule_sets": {"version": "9", "rules": "'{}'"},
    "recon_cuts": {"source_id": "9001"},
    "recon_days": {"booked_on": "booked_on + 1"},
    "open_entries": {"entry_id": "9001"},
    "recon_runs": {"id": "9001"},
    "recon_matches": {"id": "9001"},
    "match_legs": {"item_id": "9001"},
    "recon_breaks": {"id": "'forged'", "item_id": "9001"},
}
COLUMNS = """
SELECT column_name, data_type, is_identity FROM information_schema.columns
WHERE table_schema = 'public' AND table_name = $1 ORDER BY ordinal_position"""


@pytest.fixture
async def books(sql: Sql, engine: AsyncEngine) -> None:
    """A match by a rule, one that was undone, an open item on each side, and a resolved break."""
    source = await add_source(sql)
    await add_entries(sql, [Entry("7", "C"), Entry("9", "missing")])
    await add_statement(sql, source, [Line("10", "A"), Line("7", "C"), Line("-1")])
    async with transaction(engine) as tx:
        row = await find_source(tx, "bank", None)
    late = DAY + timedelta(days=10)
    await run_matching(engine, row, late)
    async with transaction(engine) as tx:
        undone = await sql.fetchval("SELECT id FROM recon_matches")
        await undo_match(tx, source, undone, Operator("ann"), "a test")
    await sql.execute("SET session_replication_role = replica")
    await sql.execute(
        "UPDATE recon_runs SET undone_at = now(), undone_by = 'a', undone_reason = 'b'"
    )
    await sql.execute("RESET session_replication_role")
    await add_entries(sql, [Entry("10", "A")])
    await run_matching(engine, row, late)


@pytest.fixture
async def forger(books: None, sql: Sql, migrated_url: str) -> AsyncIterator[AsyncConnection]:
    """A superuser's transaction without triggers and checks, which is rolled back."""
    engine = create_engine(migrated_url, application_name="forger", pool_size=1)
    async with engine.connect() as connection:
        await connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        for table in ROWS:
            query = (
                "SELECT conname FROM pg_constraint"
                " WHERE conrelid = $1::regclass AND contype IN ('c', 'u')"
            )
            for (name,) in await sql.fetch(query, table):
                await connection.exec_driver_sql(
                    f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name} CASCADE"
                )
        for index in ("recon_sources_tenant_name", "match_legs_item_matched_once"):
            await connection.exec_driver_sql(f"DROP INDEX {index}")
        yield connection
        await connection.rollback()
    await engine.dispose()


async def _broken(connection: AsyncConnection) -> set[str]:
    findings = await audit_on(connection, "full")
    return {each.invariant.name for each in findings if each.offending} & NAMES


async def test_honest_books_break_no_invariant(forger: AsyncConnection) -> None:
    assert await _broken(forger) == set()


@pytest.mark.parametrize("table", ROWS)
async def test_each_mutation_of_matching_is_named(
    sql: Sql, forger: AsyncConnection, table: str
) -> None:
    columns = await sql.fetch(COLUMNS, table)
    for name, _, is_identity in columns:
        if is_identity == "YES":
            await forger.exec_driver_sql(
                f"ALTER TABLE {table} ALTER COLUMN {name} SET GENERATED BY DEFAULT"
            )
    unseen = set()
    for kind, where in ROWS[table].items():
        one = f"ctid = (SELECT min(ctid) FROM {table} WHERE {where})"
        forged = ", ".join(FORGED[table].get(name, name) for name, *_ in columns)
        mutations = {
            "DELETE": f"DELETE FROM {table} WHERE {one}",
            "INSERT": f"INSERT INTO {table} SELECT {forged} FROM {table} WHERE {one}",
        }
        for name, data_type, _ in columns:
            value = PLAUSIBLE.get((table, name), ANOTHER[data_type].format(name))
            mutations[name] = f"UPDATE {table} SET {name} = {value} WHERE {one}"
        for name, mutation in mutations.items():
            await forger.exec_driver_sql("SAVEPOINT honest")
            changed = (await forger.exec_driver_sql(mutation)).rowcount
            assert changed == 1, mutation
            if not await _broken(forger):
                unseen.add((table, kind, name))
            await forger.exec_driver_sql("ROLLBACK TO honest")
    assert unseen == {each for each in UNSEEN if each[0] == table}
