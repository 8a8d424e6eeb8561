"""For every request the API answers as documented, and the ledger stays correct."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_api.app import create_app
from payments_api.openapi.document import document
from payments_api.settings import ApiSettings
from recon_worker.worker.loop import Worker
from testkit.database.backlog import add_simple
from testkit.database.ledgers.settled import FAST, until_all_settled
from testkit.database.sql import Sql
from testkit.fuzz.exploring import SECONDS, SEED
from testkit.fuzz.fuzzed_api import fuzz_api
from testkit.fuzz.schemathesis_hooks import internals_in
from testkit.model.ledger import assert_audit_is_clean

# Phases, and how much: the coverage phase alone sends 1,200 requests.
BOUNDED = ("--max-examples=6", "--generation-deterministic")
LONG = (f"--max-time={SECONDS:.0f}", f"--seed={SEED}", "--max-examples=1000")
DEAD_LETTER = "UPDATE recon_jobs SET status = 'failed', attempts = max_attempts, last_error = 'no'"


async def test_every_answer_is_documented_and_every_201_is_in_the_ledger(
    api_url: str,
    api_key: str,
    sql: Sql,
    engine: AsyncEngine,
    start_worker: Callable[..., Awaitable[Worker]],
    tmp_path: Path,
) -> None:
    dead = await add_simple(sql, 3)
    await sql.execute(DEAD_LETTER)
    await start_worker(**FAST)
    fuzzed = await fuzz_api(api_url, api_key, tmp_path, *(LONG if SECONDS else BOUNDED))
    assert fuzzed.clean, fuzzed.report

    await sql.execute("UPDATE recon_jobs SET status = 'pending' WHERE status = 'failed'")
    await until_all_settled(sql)
    await assert_audit_is_clean(engine)
    ids = await sql.fetch("SELECT id FROM payments UNION ALL SELECT id FROM reversals")
    stored = {str(row["id"]) for row in ids}
    assert fuzzed.created, "nothing was created: the requests reach nothing of interest"
    assert stored == fuzzed.created | {str(payment.id) for payment in dead}


LEAKS = [
    'duplicate key value violates unique constraint "payments_idempotency_key_key"',
    'Traceback (most recent call last):\n  File "/app/lib/python3.13/site-packages/x.py"',
    "asyncpg.exceptions.DataError: invalid input",
    'relation "recon_jobs" does not exist',
    "SELECT id FROM payments",
    "<object object at 0x7f0000000000>",
]


@pytest.mark.parametrize("leak", LEAKS)
def test_internal_words_count_as_leaks_unless_the_request_sent_them(leak: str) -> None:
    assert internals_in(f'{{"detail": {leak!r}}}') is not None
    assert internals_in(leak, sent=leak) is None


def test_no_documented_problem_counts_as_a_leak() -> None:
    described = document(create_app(ApiSettings()))
    for path in described["paths"].values():
        for operation in path.values():
            for status, answer in operation["responses"].items():
                if status >= "400":
                    assert internals_in(str(answer)) is None
