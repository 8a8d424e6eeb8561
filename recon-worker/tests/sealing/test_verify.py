"""Tampering by the database's owner is found and named; an unchanged ledger has no finding."""

import asyncio
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import single_statement
from recon_worker.sealing.verify import verify_step, walk_before
from testkit.database.ledgers.sealed import (
    leave_gap,
    seal_all,
    verify_all,
)
from testkit.database.ledgers.settled import break_ledger
from testkit.database.sql import Sql

from .conftest import named

# Another value for each column of the ledger.
CHANGES = {
    "payment_id": "gen_random_uuid()",
    "account_id": "account_id || ' '",
    "currency": "'XTS'",
    "entry_type": "'clearing', direction = 'debit', account_id = 'sys:clearing:1'",
    "direction": "'debit', entry_type = 'clearing', account_id = 'sys:clearing:1'",
    "amount": "amount + 0.0001",
    "account_seq": "account_seq + 1000000",
    "balance_after": "balance_after - 0.0001",
    "created_at": "created_at + interval '1 microsecond'",
    "reversal_id": "gen_random_uuid(), posting_kind = 'reversal', entry_type = 'reversal',"
    " direction = 'debit'",
    "posting_kind": "'reversal', reversal_id = gen_random_uuid(), entry_type = 'clearing',"
    " account_id = 'sys:clearing:1'",
}
COLUMNS = "SELECT column_name FROM information_schema.columns WHERE table_name = $1"


async def test_every_column_is_altered_below(sql: Sql) -> None:
    columns = {row[0] for row in await sql.fetch(COLUMNS, "ledger_entries")}
    assert columns == {"id", *CHANGES}


@pytest.mark.usefixtures("sealed")
@pytest.mark.parametrize("column", CHANGES)
async def test_an_altered_entry_is_reported(sql: Sql, engine: AsyncEngine, column: str) -> None:
    where = "WHERE id = 8"
    await break_ledger(sql, f"UPDATE ledger_entries SET {column} = {CHANGES[column]} {where}")
    assert named(await verify_all(engine)) == [("altered", 2, 8)]


@pytest.mark.usefixtures("sealed")
async def test_the_decimals_of_an_amount_are_sealed_too(sql: Sql, engine: AsyncEngine) -> None:
    change = "UPDATE ledger_entries SET amount = amount + 0.0000 WHERE id = 8"
    await break_ledger(sql, change)
    assert named(await verify_all(engine)) == [("altered", 2, 8)]


@pytest.mark.usefixtures("sealed")
@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        ("DELETE FROM ledger_entries WHERE id = 9", [("missing", 2, 9)]),
        ("DELETE FROM ledger_entries WHERE id < 4", [("missing", 1, n) for n in (1, 2, 3)]),
        ("TRUNCATE ledger_entries", [("missing", 1, 1), ("missing", 1, 2)]),
    ],
)
async def test_a_deleted_entry_is_reported(
    sql: Sql, engine: AsyncEngine, statement: str, finding: list[Any]
) -> None:
    await break_ledger(sql, statement)
    assert named(await verify_all(engine))[: len(finding)] == finding


COPY = (
    "INSERT INTO ledger_entries OVERRIDING SYSTEM VALUE SELECT {id}, gen_random_uuid(), 'mallory',"
    " currency, entry_type, direction, amount, {id} + 100, balance_after, created_at"
    " FROM ledger_entries WHERE id = 1"
)


@pytest.mark.usefixtures("sealed")
@pytest.mark.parametrize(("entry_id", "seq"), [(5, 2), (-3, 4), (1_000_000, 4)])
async def test_an_inserted_entry_is_reported(
    sql: Sql, engine: AsyncEngine, entry_id: int, seq: int
) -> None:
    await break_ledger(sql, COPY.format(id=entry_id))
    assert named(await verify_all(engine)) == [("inserted", seq, entry_id)]
    await seal_all(engine)
    assert named(await verify_all(engine)) == [("inserted", seq, entry_id)], (
        "sealing does not hide the inserted entry"
    )


@pytest.mark.usefixtures("sealed")
async def test_two_swapped_entries_are_both_reported(sql: Sql, engine: AsyncEngine) -> None:
    await break_ledger(
        sql,
        "CREATE TEMP TABLE two ON COMMIT DROP AS SELECT * FROM ledger_entries WHERE id IN (2, 14);"
        " DELETE FROM ledger_entries WHERE id IN (2, 14);"
        " UPDATE two SET id = 16 - id;"
        " INSERT INTO ledger_entries OVERRIDING SYSTEM VALUE SELECT * FROM two",
    )
    assert named(await verify_all(engine)) == [("altered", 1, 2), ("altered", 4, 14)]


@pytest.mark.usefixtures("sealed")
async def test_verification_can_begin_anywhere_in_bounded_steps(
    sql: Sql, engine: AsyncEngine
) -> None:
    await break_ledger(sql, "UPDATE ledger_entries SET amount = 99 WHERE id IN (1, 15)")
    async with single_statement(engine) as connection:
        walk = await walk_before(connection, 3, [])
        steps = []
        while await verify_step(connection, walk, 4, rows=2):
            steps.append((walk.head.seq, walk.entries))
        assert steps == [(3, 3), (4, 6)]
        assert named(walk.findings) == [("altered", 4, 15)]
        with pytest.raises(LookupError, match="no seal 7"):
            await walk_before(connection, 8, [])


ACCOUNTS = st.text(
    st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs"]), min_size=1
).map(lambda name: f"a{name}"[:100])
ROWS = st.lists(
    st.tuples(
        ACCOUNTS,
        st.sampled_from(["USD", "EUR", "JPY", "BHD"]),
        st.decimals("0.0001", "99999999999999", places=4),
        st.decimals("-99999999999999999999", "99999999999999999999", places=4),
        st.datetimes(),
        st.integers(0, 2),  # Unused ids before the entry.
        st.booleans(),  # Entries sealed after it.
    ),
    min_size=1,
    max_size=8,
)
ADD_ROW = """
INSERT INTO ledger_entries (payment_id, account_id, currency, entry_type, direction, amount,
                            account_seq, balance_after, created_at)
SELECT gen_random_uuid(), $1, $2, 'payment', 'credit', $3,
       (SELECT count(*) + 1 FROM ledger_entries), $4, $5 AT TIME ZONE 'UTC' RETURNING id"""


@pytest.mark.usefixtures("sql")
async def test_any_ledger_verifies_until_any_column_of_any_entry_changes(
    sql: Sql, engine: AsyncEngine
) -> None:
    """Random ledgers, gaps and seals; then one random change of one random entry."""

    async def example(rows: list[Any], chance: random.Random) -> None:
        await break_ledger(
            sql,
            "DELETE FROM ledger_entries; DELETE FROM ledger_seals;"
            " SELECT setval('ledger_entries_id_seq', 1, false)",
        )
        ids = []
        for account, currency, amount, balance, at, gap, seal_now in rows:
            await leave_gap(sql, gap)
            await sql.execute("SET session_replication_role = replica")
            ids.append(await sql.fetchval(ADD_ROW, account, currency, amount, balance, at))
            await sql.execute("SET session_replication_role = DEFAULT")
            if seal_now:
                await seal_all(engine)
        await seal_all(engine)
        assert await verify_all(engine) == []

        changed_entry, gaps = chance.choice(ids), sorted(set(range(1, ids[-1])) - set(ids))
        kind = chance.choice(["alter", "delete", *(["insert"] if gaps else [])])
        if kind == "alter":
            column = chance.choice(list(CHANGES))
            change = (
                f"UPDATE ledger_entries SET {column} = {CHANGES[column]} WHERE id = {changed_entry}"
            )
            await break_ledger(sql, change)
            expected = ("altered", changed_entry)
        elif kind == "delete":
            await break_ledger(sql, f"DELETE FROM ledger_entries WHERE id = {changed_entry}")
            expected = ("missing", changed_entry)
        else:
            changed_entry = chance.choice(gaps)
            copy = COPY.format(id=changed_entry).replace("WHERE id = 1", f"WHERE id = {ids[0]}")
            await break_ledger(sql, copy)
            expected = ("inserted", changed_entry)
        assert [(f.kind, f.entry_id) for f in await verify_all(engine)] == [expected]

    loop = asyncio.get_running_loop()

    @settings(
        max_examples=20,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(rows=ROWS, chance=st.randoms(use_true_random=False))
    def run(rows: list[Any], chance: random.Random) -> None:
        asyncio.run_coroutine_threadsafe(example(rows, chance), loop).result(60)

    await asyncio.to_thread(run)
