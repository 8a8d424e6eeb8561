"""The bank of `make demo`: its statement matches but for a few breaks, its second file is held."""

from datetime import UTC, datetime, timedelta

from demo import bank
from quart.typing import TestClientProtocol
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import transaction
from payments_core.statements.sources import find_source
from recon_worker.statements.importing.load import import_next
from recon_worker.statements.matching.run import run_matching
from testkit.database.matching_books import Entry, add_entries, add_source
from testkit.database.sql import Sql


async def test_the_demos_bank_leaves_a_few_honest_breaks(
    client: TestClientProtocol, sql: Sql, engine: AsyncEngine
) -> None:
    today = datetime.now(UTC).date()
    source = await add_source(sql, bank.NAME, grace_days=0)
    await sql.execute("UPDATE recon_sources SET account_identifier = $1", bank.ACCOUNT)
    invoices = bank.invoices()
    await add_entries(sql, [Entry(amount, name, today) for name, amount in invoices.items()])
    on = today - timedelta(days=1)
    lines = bank.lines_of(invoices, on)
    data = bank.camt053("DEMO-1", on, bank.OPENING, lines)
    broken = bank.camt053("DEMO-2", on, bank.OPENING, lines[:1], error="5")
    for each in (data, broken):
        path = f"/statements?source={bank.NAME}"
        assert (await client.post(path, data=each)).status_code == 202
    files = [await import_next(engine) for _ in range(2)]
    assert sorted(file.status for file in files if file) == ["accepted", "quarantined"]
    async with transaction(engine) as tx:
        row = await find_source(tx, bank.NAME, None)
    outcome = await run_matching(engine, row, today)
    counts = outcome.as_json()["counts"]
    assert (counts["matches"], counts["breaks"]) == ({"reference": bank.INVOICES - 4}, 5)
    assert outcome.run.source_id == source
    assert (outcome.run.verdict, outcome.run.residual) == ("breaks", 0)
