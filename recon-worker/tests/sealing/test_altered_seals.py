"""Altered, removed and rewritten seals are found by the chain, a kept head or the key."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import single_statement
from recon_worker.sealing import compare
from recon_worker.sealing.chain import HeadUnsigned, Horizon, seal_next, sign_head
from recon_worker.sealing.heads import check_heads
from testkit.database.ledgers.sealed import (
    add_entries,
    last_head,
    rewrite_chain,
    seal_all,
    verify_all,
)
from testkit.database.ledgers.settled import break_ledger
from testkit.database.sql import Sql

from .conftest import named

KEY, OLD_KEY = b"k" * 32, b"o" * 32
NO_RESULTS = (
    "from_result_id = NULL, to_result_id = NULL, result_count = NULL, result_ids = NULL,"
    " results_hash = NULL, result_digests = NULL"
)


@pytest.mark.usefixtures("sealed")
@pytest.mark.parametrize(
    "change",
    [
        f"format_version = 1, {NO_RESULTS}",
        "format_version = 3",
        "format_version = 5",
        "from_entry_id = from_entry_id + 1",
        "to_entry_id = to_entry_id + 1",
        "entry_count = 2, entry_digests = substr(entry_digests, 1, 16)",
        "entry_ids = '{[7,8),[9,11)}'",
        "entry_ids = '{(,)}'",
        "entries_hash = sha256('')",
        "entry_count = 4, entry_digests = sha256('')",
        "previous_hash = sha256('')",
        "seal_hash = sha256('')",
        "sealed_at = sealed_at - interval '1 microsecond'",
        "from_result_id = from_result_id + 1, to_result_id = to_result_id + 1",
        "to_result_id = to_result_id + 1",
        "result_count = 1, result_digests = substr(entry_digests, 1, 8)",
        "result_ids = '{[7,8)}'",
        "results_hash = sha256('1')",
        f"format_version = 1, {NO_RESULTS}, seal_hash = sha256('')",
    ],
)
async def test_an_altered_seal_is_reported(sql: Sql, engine: AsyncEngine, change: str) -> None:
    await break_ledger(sql, f"UPDATE ledger_seals SET {change} WHERE seq = 2")
    findings = await verify_all(engine)
    assert named(findings)[0] == ("seal_altered", 2, None)
    assert {found.seq for found in findings} == {2}


@pytest.mark.usefixtures("sealed")
async def test_an_altered_seal_with_a_recomputed_hash_is_reported(
    sql: Sql, engine: AsyncEngine
) -> None:
    """Entry and seal are changed consistently; the later seals still contain the original hash."""
    rows = await sql.fetch("SELECT * FROM ledger_seals WHERE seq > 2 ORDER BY seq")
    await break_ledger(
        sql,
        "DELETE FROM ledger_seals WHERE seq > 1;"
        " UPDATE ledger_entries SET amount = 1000000 WHERE id = 8",
    )
    assert await seal_next(engine, Horizon(9, 0, frozenset())) is not None
    await sql.execute("SET session_replication_role = replica")
    await sql.executemany(
        f"INSERT INTO ledger_seals VALUES ({', '.join(f'${n + 1}' for n in range(len(rows[0])))})",
        [tuple(row.values()) for row in rows],
    )
    await sql.execute("SET session_replication_role = DEFAULT")
    assert named(await verify_all(engine)) == [("seal_altered", 2, None)]


@pytest.mark.usefixtures("sealed")
async def test_a_seal_removed_from_the_middle_is_reported(sql: Sql, engine: AsyncEngine) -> None:
    await break_ledger(sql, "DELETE FROM ledger_seals WHERE seq = 2")
    assert named(await verify_all(engine)) == [("seal_missing", 2, None)]


@pytest.mark.usefixtures("sealed")
async def test_a_kept_head_reveals_seals_removed_at_the_end(sql: Sql, engine: AsyncEngine) -> None:
    head = await last_head(engine)
    await break_ledger(sql, "DELETE FROM ledger_seals WHERE seq > 2")
    assert await verify_all(engine) == [], "the chain itself is valid"
    async with single_statement(engine) as connection:
        assert named(await check_heads(connection, [head])) == [("head_missing", 4, None)]


@pytest.mark.usefixtures("sealed")
async def test_a_kept_head_reveals_a_rewritten_chain(sql: Sql, engine: AsyncEngine) -> None:
    head = await last_head(engine)
    await break_ledger(sql, "UPDATE ledger_entries SET amount = 1000000 WHERE id = 8")
    await rewrite_chain(sql, engine)
    for _ in range(3):
        await add_entries(sql, 1)
        await seal_all(engine)
    assert await verify_all(engine) == []
    async with single_statement(engine) as connection:
        assert named(await check_heads(connection, [head])) == [("head_rewritten", 4, None)]


async def test_the_key_reveals_a_rewritten_chain(sql: Sql, engine: AsyncEngine) -> None:
    for keys in ([OLD_KEY], [KEY, OLD_KEY], [KEY, OLD_KEY]):
        await add_entries(sql, 3)
        await seal_all(engine, keys)
    assert await verify_all(engine, [KEY, OLD_KEY]) == []
    assert await verify_all(engine, [KEY]) == [], "the signature covers the second seal on"

    await break_ledger(
        sql,
        "UPDATE ledger_entries SET amount = 1000000 WHERE id = 8;"
        " DELETE FROM ledger_seals WHERE seq > 2",
    )
    await seal_all(engine)  # The best forgery without the key.
    assert await verify_all(engine) == []
    assert named(await verify_all(engine, [KEY, OLD_KEY])) == [("seal_unsigned", 3, None)]
    await add_entries(sql, 1)
    with pytest.raises(HeadUnsigned, match="sign-head"):
        await seal_all(engine, [KEY])


async def test_a_mac_of_another_key_is_invalid(sql: Sql, engine: AsyncEngine) -> None:
    for _ in range(2):
        await add_entries(sql, 3)
        await seal_all(engine, [KEY])
    await break_ledger(sql, "UPDATE ledger_seals SET mac = sha256(seal_hash) WHERE seq = 2")
    assert named(await verify_all(engine, [KEY])) == [("seal_unsigned", 2, None)]


async def test_a_later_key_signs_the_chain_on_request(sql: Sql, engine: AsyncEngine) -> None:
    await add_entries(sql, 3)
    await seal_all(engine)
    await add_entries(sql, 3)
    with pytest.raises(HeadUnsigned):
        await seal_all(engine, [KEY])
    assert await sign_head(engine, [KEY]) is not None
    await seal_all(engine, [KEY])
    counts = [
        row[0] for row in await sql.fetch("SELECT entry_count FROM ledger_seals ORDER BY seq")
    ]
    assert counts == [3, 0, 3]
    assert await verify_all(engine, [KEY]) == []


@pytest.mark.usefixtures("sealed")
async def test_a_forged_digest_does_not_hide_an_alteration(
    sql: Sql, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Simulates an entry whose hash has the same first eight bytes."""
    await break_ledger(sql, "UPDATE ledger_entries SET amount = 1000000 WHERE id = 8")
    same = "SELECT id, payment_id, substr(entry_digests, (id - 7)::int * 8 + 1, 8) AS digest"
    tables = "FROM ledger_entries, ledger_seals WHERE seq = 2 AND id BETWEEN $1 AND $2"
    monkeypatch.setattr(compare.Table, "current", f"{same} {tables}")
    assert named(await verify_all(engine)) == [("altered", 2, None)]
