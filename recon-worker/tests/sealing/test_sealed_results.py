"""Results and their payments are sealed too, beside the seals of earlier releases."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import single_statement
from recon_worker.sealing import chain
from recon_worker.sealing.row_hashes import (
    ENTRIES,
    ENTRY_COLUMNS,
    PAYMENT_COLUMNS,
    RESULT_COLUMNS,
    RESULTS,
    REVERSAL_COLUMNS,
)
from recon_worker.sealing.verify import walk_before
from testkit.database.ledgers.sealed import (
    add_entries,
    add_failed,
    add_reversed,
    seal_all,
    seal_in_format_1,
    verify_all,
)
from testkit.database.ledgers.settled import break_ledger
from testkit.database.sql import Sql

COLUMNS = """
SELECT column_name FROM information_schema.columns
WHERE table_schema = 'public' AND table_name = $1 ORDER BY ordinal_position"""


@pytest.mark.parametrize(
    ("table", "sealed"),
    [
        ("ledger_entries", ENTRY_COLUMNS),
        ("reconciliation_results", RESULT_COLUMNS),
        ("payments", PAYMENT_COLUMNS),
        ("reversals", REVERSAL_COLUMNS),
    ],
)
async def test_the_newest_format_covers_every_column(
    sql: Sql, table: str, sealed: tuple[str, ...]
) -> None:
    """A new column needs a new format, or a reason here."""
    assert [row[0] for row in await sql.fetch(COLUMNS, table)] == list(sealed)


@pytest.fixture
async def settled_and_sealed(sql: Sql, engine: AsyncEngine) -> None:
    """Create five failed payments and a reversal in two seals; result 4 is a gap in the second."""
    await add_failed(sql, 3)
    await seal_all(engine)
    await sql.execute("SELECT nextval('reconciliation_results_id_seq')")
    await add_failed(sql, 2)
    await add_reversed(sql, 1)
    await seal_all(engine)


OF_RESULT_5 = "WHERE id = (SELECT payment_id FROM reconciliation_results WHERE id = 5)"
# Another value for each column of a settled payment or its result.
PAYMENT_CHANGES = {
    "idempotency_key": "'another'",
    "request_fingerprint": "sha256('another')",
    "account_id": "'another'",
    "amount": "amount - 1",
    "currency": "'EUR'",
    "description": "'another'",
    "status": "'pending', settled_at = NULL",
    "traceparent": "'another'",
    "created_at": "created_at - interval '1 microsecond'",
    "updated_at": "updated_at - interval '1 microsecond'",
    "settled_at": "settled_at - interval '1 microsecond'",
    "reference": "'another'",
    "metadata": """'{"another": "x"}'""",
    "source": "'another'",
}
RESULT_CHANGES = {
    "payment_id": "gen_random_uuid()",
    "recon_job_id": "99",
    "status": "'completed', matched = true",
    "matched": "true, status = 'completed'",
    "discrepancy_amount": "1, status = 'completed_with_discrepancy'",
    "notes": "'another'",
    "rule_version": "0",
    "created_at": "created_at - interval '1 microsecond'",
    "reversal_id": "payment_id, payment_id = NULL",
}
REVERSAL_CHANGES = {
    "idempotency_key": "'another'",
    "request_fingerprint": "sha256('another')",
    "payment_id": "gen_random_uuid()",
    "account_id": "'another'",
    "currency": "'EUR'",
    "source": "'another'",
    "amount": "amount - 0.1",
    "reason": "'another'",
    "reference": "'another'",
    "metadata": """'{"another": "x"}'""",
    "status": "'pending', settled_at = NULL",
    "traceparent": "'another'",
    "created_at": "created_at - interval '1 microsecond'",
    "updated_at": "updated_at - interval '1 microsecond'",
    "settled_at": "settled_at - interval '1 microsecond'",
}


async def test_every_column_is_altered_below(sql: Sql) -> None:
    for table, changes in (
        ("payments", PAYMENT_CHANGES),
        ("reconciliation_results", RESULT_CHANGES),
        ("reversals", REVERSAL_CHANGES),
    ):
        columns = {row[0] for row in await sql.fetch(COLUMNS, table)}
        assert columns == {"id", *changes}


@pytest.mark.usefixtures("settled_and_sealed")
@pytest.mark.parametrize(
    "change",
    [
        *(
            f"UPDATE payments SET {column} = {value} {OF_RESULT_5}"
            for column, value in PAYMENT_CHANGES.items()
        ),
        f"UPDATE payments SET id = gen_random_uuid() {OF_RESULT_5}",
        f"DELETE FROM payments {OF_RESULT_5}",
        *(
            f"UPDATE reconciliation_results SET {column} = {value} WHERE id = 5"
            for column, value in RESULT_CHANGES.items()
        ),
    ],
)
async def test_an_altered_result_or_payment_is_reported(
    sql: Sql, engine: AsyncEngine, change: str
) -> None:
    await break_ledger(sql, change)
    found = [(f.kind, f.seq, f.entry_id, f.result_id) for f in await verify_all(engine)]
    assert found == [("altered", 2, None, 5)]


@pytest.mark.usefixtures("settled_and_sealed")
@pytest.mark.parametrize(
    "change",
    [
        *(f"UPDATE reversals SET {column} = {value}" for column, value in REVERSAL_CHANGES.items()),
        "UPDATE reversals SET id = gen_random_uuid()",
        "DELETE FROM reversals",
        "UPDATE reconciliation_results SET reversal_id = gen_random_uuid() WHERE id = 7",
    ],
)
async def test_an_altered_reversal_is_named(sql: Sql, engine: AsyncEngine, change: str) -> None:
    await break_ledger(sql, change)
    found = [(f.kind, f.seq, f.entry_id, f.result_id) for f in await verify_all(engine)]
    assert found == [("altered", 2, None, 7)]


PUT_IN_RESULT = """
INSERT INTO reconciliation_results (id, payment_id, recon_job_id, status, matched, notes,
                                    rule_version)
OVERRIDING SYSTEM VALUE SELECT {}, gen_random_uuid(), 1, 'failed', false, '', 1"""


@pytest.mark.usefixtures("settled_and_sealed")
@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ("DELETE FROM reconciliation_results WHERE id = 2", ("missing", 1, 2)),
        (PUT_IN_RESULT.format(4), ("inserted", 2, 4)),
        (PUT_IN_RESULT.format(-1), ("inserted", 2, -1)),
        (PUT_IN_RESULT.format(99), ("inserted", 2, 99)),
    ],
)
async def test_a_removed_or_inserted_result_is_reported(
    sql: Sql, engine: AsyncEngine, change: str, finding: tuple[str, int, int]
) -> None:
    await break_ledger(sql, change)
    assert [(f.kind, f.seq, f.result_id) for f in await verify_all(engine)] == [finding]
    await seal_all(engine)
    assert [(f.kind, f.seq, f.result_id) for f in await verify_all(engine)] == [finding]


@pytest.mark.parametrize("earlier", [2, 3])
async def test_seals_of_earlier_formats_remain_valid_beside_newer_ones(
    sql: Sql, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, earlier: int
) -> None:
    with monkeypatch.context() as release:
        release.setattr(chain, "FORMAT_VERSION", earlier)
        for query, rows in (("GATHER_ENTRIES", ENTRIES), ("GATHER_RESULTS", RESULTS)):
            gathered = getattr(chain, query).replace(rows[4], rows[earlier])
            release.setattr(chain, query, gathered)
        await add_entries(sql, 3)
        await add_failed(sql, 1)
        await add_reversed(sql, 1)
        await seal_all(engine)
    await add_entries(sql, 3)
    await add_failed(sql, 1)
    await add_reversed(sql, 1)
    await seal_all(engine)
    formats = "SELECT format_version FROM ledger_seals ORDER BY seq"
    assert [row[0] for row in await sql.fetch(formats)] == [earlier, 4]
    assert await verify_all(engine) == []
    # Format 3 does not know reversals, and format 2 knows no reference either.
    await break_ledger(
        sql,
        "UPDATE payments SET reference = 'R'; UPDATE reversals SET reason = 'R';"
        " UPDATE ledger_entries SET posting_kind = 'reversal', reversal_id = gen_random_uuid(),"
        " entry_type = 'reversal', direction = 'debit' WHERE id IN (4, 5)",
    )
    found = [(f.kind, f.seq, f.entry_id or f.result_id) for f in await verify_all(engine)]
    of_payment = [("altered", 1, 1)] if earlier == 3 else []
    assert found == [*of_payment, *(("altered", 2, row_id) for row_id in (3, 4, 4, 5))]


async def test_seals_of_an_older_release_remain_valid_among_newer_ones(
    sql: Sql, engine: AsyncEngine
) -> None:
    await add_entries(sql, 3)
    await add_failed(sql, 1)
    await seal_in_format_1(sql, engine)
    await add_entries(sql, 3)
    await seal_all(engine)
    await add_entries(sql, 3)
    await add_failed(sql, 2)
    await seal_in_format_1(sql, engine)
    await seal_all(engine)
    formats = "SELECT format_version, entry_count, result_count FROM ledger_seals ORDER BY seq"
    assert [tuple(row) for row in await sql.fetch(formats)] == [
        (1, 3, None),
        (4, 3, 1),
        (1, 3, None),
        (4, 0, 2),
    ]
    assert await verify_all(engine) == []
    async with single_statement(engine) as connection:
        assert (await walk_before(connection, 4, [])).head.to_result_id == 1
    await break_ledger(
        sql,
        "UPDATE ledger_entries SET balance_after = 0 WHERE id IN (2, 5, 8);"
        " UPDATE payments SET description = ''",
    )
    found = [(f.seq, f.entry_id, f.result_id) for f in await verify_all(engine)]
    expected = [(1, 2, None), (2, None, 1), (2, 5, None), (3, 8, None), (4, None, 2), (4, None, 3)]
    assert found == expected
