"""Results and their payments are sealed too, beside the seals of earlier releases."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import single_statement
from recon_worker.sealing import chain
from recon_worker.sealing.format import ENTRY_COLUMNS, PAYMENT_COLUMNS, RESULT_COLUMNS
from recon_worker.sealing.verify import walk_before
from testkit.database.backlog import Sql
from testkit.database.sealed_ledger import (
    add_entries,
    add_failed,
    seal_all,
    seal_in_format_1,
    verify_all,
)
from testkit.database.settled_ledger import break_ledger

COLUMNS = """
SELECT column_name FROM information_schema.columns
WHERE table_schema = 'public' AND table_name = $1 ORDER BY ordinal_position"""


@pytest.mark.parametrize(
    ("table", "sealed"),
    [
        ("ledger_entries", ENTRY_COLUMNS),
        ("reconciliation_results", RESULT_COLUMNS),
        ("payments", PAYMENT_COLUMNS),
    ],
)
async def test_the_newest_format_covers_every_column(
    sql: Sql, table: str, sealed: tuple[str, ...]
) -> None:
    """A column more is a decision: another format, or a reason here."""
    assert [row[0] for row in await sql.fetch(COLUMNS, table)] == list(sealed)


@pytest.fixture
async def settled_and_sealed(sql: Sql, engine: AsyncEngine) -> None:
    """Six failed payments in two seals of three; result 4 is a gap in the second."""
    await add_failed(sql, 3)
    await seal_all(engine)
    await sql.execute("SELECT nextval('reconciliation_results_id_seq')")
    await add_failed(sql, 2)
    await seal_all(engine)


OF_RESULT_5 = "WHERE id = (SELECT payment_id FROM reconciliation_results WHERE id = 5)"
# A column of a settled payment, or of its result → another value for it.
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
}


async def test_every_column_of_payments_and_results_is_tried_below(sql: Sql) -> None:
    for table, changes in (
        ("payments", PAYMENT_CHANGES),
        ("reconciliation_results", RESULT_CHANGES),
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
async def test_an_altered_result_or_payment_is_named(
    sql: Sql, engine: AsyncEngine, change: str
) -> None:
    await break_ledger(sql, change)
    found = [(f.kind, f.seq, f.entry_id, f.result_id) for f in await verify_all(engine)]
    assert found == [("altered", 2, None, 5)]


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
async def test_a_result_that_is_gone_or_was_put_in_is_named(
    sql: Sql, engine: AsyncEngine, change: str, finding: tuple[str, int, int]
) -> None:
    await break_ledger(sql, change)
    assert [(f.kind, f.seq, f.result_id) for f in await verify_all(engine)] == [finding]
    await seal_all(engine)
    assert [(f.kind, f.seq, f.result_id) for f in await verify_all(engine)] == [finding]


async def test_seals_of_format_2_hold_beside_those_of_this_release(
    sql: Sql, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_entries(sql, 3)
    await add_failed(sql, 1)
    with monkeypatch.context() as earlier:
        earlier.setattr(chain, "FORMAT_VERSION", 2)
        earlier.setattr(chain, "GATHER_ENTRIES", chain.GATHER_ENTRIES.replace(", 3, ", ", 2, "))
        without = chain.GATHER_RESULTS.replace(", 3, ", ", 2, ")
        for column in ("reference", "metadata", "source"):
            without = without.replace(f", payment.{column}", "")
        earlier.setattr(chain, "GATHER_RESULTS", without)
        await seal_all(engine)
    await add_failed(sql, 1)
    await seal_all(engine)
    formats = "SELECT format_version FROM ledger_seals ORDER BY seq"
    assert [row[0] for row in await sql.fetch(formats)] == [2, 3]
    assert await verify_all(engine) == []
    # Format 2 does not know the column, format 3 does.
    await break_ledger(sql, "UPDATE payments SET reference = 'R'")
    assert [(f.kind, f.seq, f.result_id) for f in await verify_all(engine)] == [("altered", 2, 2)]


async def test_seals_of_an_older_release_hold_before_and_between_those_of_this_one(
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
        (3, 3, 1),
        (1, 3, None),
        (3, 0, 2),
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
