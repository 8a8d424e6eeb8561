"""Triggers reject forged values in services' writes: time, role and order."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from testkit.database.sql import Sql

PAYMENT = UUID(int=1)
SETTLED = (
    "UPDATE payments SET status = '{status}', settled_at = {at}, updated_at = now()"
    f" WHERE id = '{PAYMENT}'"
)
POSTED = """
INSERT INTO ledger_entries (payment_id, account_id, currency, entry_type, direction, amount,
                            account_seq, balance_after, created_at) VALUES
    ('{id}', 'acc_1', 'USD', 'payment', 'credit', 1, 1, 1, {at}),
    ('{id}', 'sys:clearing:00', 'USD', 'clearing', 'debit', 1, 1, -1, {at})"""
RESULT = (
    "INSERT INTO reconciliation_results (payment_id, recon_job_id, status, matched, notes,"
    f" rule_version) VALUES ('{PAYMENT}', 1, " + "{values})"
)
SEAL = """
INSERT INTO ledger_seals (seq, format_version, from_entry_id, to_entry_id, entry_count, entry_ids,
                          entries_hash, entry_digests, previous_hash, seal_hash, sealed_at)
VALUES ({seq}, 1, 1, {to}, 0, '{{}}', sha256(''), '', {previous}, sha256('1'), now())"""
GENESIS = "decode(repeat('00', 32), 'hex')"


REVERSAL = UUID(int=2)
REVERSED = (
    "UPDATE reversals SET status = '{status}', settled_at = {at}, updated_at = now()"
    f" WHERE id = '{REVERSAL}'"
)
REVERSE = f"""
INSERT INTO reversals (id, idempotency_key, request_fingerprint, payment_id, account_id, currency,
                       source, amount, reason)
VALUES ('{{id}}', '{{id}}', sha256('r'), '{PAYMENT}', 'acc_1', 'USD', 'default', {{amount}}, 'r')"""


@pytest.fixture
async def pending(sql: Sql) -> None:
    """Create one pending payment with its job."""
    await sql.execute(
        "INSERT INTO payments (id, idempotency_key, request_fingerprint, account_id, amount,"
        " currency, description) VALUES ($1, 'k', sha256('k'), 'acc_1', 1, 'USD', '')",
        PAYMENT,
    )
    await sql.execute("INSERT INTO recon_jobs (payment_id) VALUES ($1)", PAYMENT)


@pytest.fixture
async def reversing(sql: Sql, pending: None) -> None:
    """Create a completed payment of 1 with a pending reversal of 0.6."""
    await sql.execute(SETTLED.format(status="completed", at="now()"))
    await sql.execute(REVERSE.format(id=REVERSAL, amount="0.6"))


async def _connected(database_url: str, role: str) -> Sql:
    return await asyncpg.connect(database_url.replace("postgres@", f"{role}@"))


@pytest.fixture
async def api(database_url: str, pending: None) -> AsyncIterator[Sql]:
    connection = await _connected(database_url, "payments_api")
    yield connection
    await connection.close()


@pytest.fixture
async def worker(database_url: str, pending: None) -> AsyncIterator[Sql]:
    connection = await _connected(database_url, "payments_worker")
    yield connection
    await connection.close()


async def _refused(connection: Sql, statement: str, constraint: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await connection.execute(statement)
    assert refused.value.constraint_name == constraint


FORGED_TIMES = ("now() - interval '1 day'", "now() + interval '1 day'", "'-infinity'")


@pytest.mark.parametrize("at", FORGED_TIMES)
async def test_a_settlement_has_the_time_of_its_transaction(api: Sql, worker: Sql, at: str) -> None:
    for connection in (api, worker):
        forged = SETTLED.format(status="failed", at=at)
        await _refused(connection, forged, "settlements_are_not_forged")
        forged = f"UPDATE payments SET updated_at = {at} WHERE id = '{PAYMENT}'"
        await _refused(connection, forged, "settlements_are_not_forged")
    await worker.execute(SETTLED.format(status="completed", at="now()"))


async def test_the_api_cannot_complete_a_payment(api: Sql) -> None:
    completed = SETTLED.format(status="completed", at="now()")
    await _refused(api, completed, "settlements_are_not_forged")
    await api.execute(SETTLED.format(status="failed", at="now()"))


@pytest.mark.parametrize("values", ["'completed', true, '', 0", "'failed', false, '', 1"])
async def test_the_api_cannot_record_a_result_of_the_rules(api: Sql, sql: Sql, values: str) -> None:
    status = "completed" if values.startswith("'completed'") else "failed"
    await sql.execute(SETTLED.format(status=status, at="now()"))
    await _refused(api, RESULT.format(values=values), "results_are_of_rules")


async def test_the_api_records_the_payment_that_an_operator_discards(api: Sql) -> None:
    await api.execute(SETTLED.format(status="failed", at="now()"))
    await api.execute(RESULT.format(values="'failed', false, '', 0"))


async def test_a_posting_cannot_be_backdated(worker: Sql) -> None:
    await worker.execute(SETTLED.format(status="completed", at="now()"))
    for at in ("now() - interval '1 day'", "now() - interval '1 microsecond'"):
        forged = POSTED.format(id=PAYMENT, at=at)
        await _refused(worker, forged, "postings_are_not_back_dated")
    await worker.execute(POSTED.format(id=PAYMENT, at="clock_timestamp()"))


@pytest.mark.parametrize(
    ("seq", "to", "previous"),
    [(999_999, 0, GENESIS), (1, 2**62, GENESIS), (1, 0, "sha256('')"), (2, 0, GENESIS)],
)
async def test_a_seal_that_would_stop_the_sealer_is_rejected(
    worker: Sql, seq: int, to: int, previous: str
) -> None:
    seal = SEAL.format(seq=seq, to=to, previous=previous)
    await _refused(worker, seal, "seals_continue_the_chain")


@pytest.mark.parametrize("role", ["payments_api", "payments_worker"])
async def test_an_action_has_the_time_of_its_insert_in_an_old_transaction(
    sql: Sql, database_url: str, role: str
) -> None:
    connection = await _connected(database_url, role)
    try:
        async with connection.transaction():
            began = await connection.fetchval("SELECT now()")
            await connection.execute("SELECT pg_sleep(0.3)")
            await connection.execute(
                "INSERT INTO operator_actions (action, actor, reason, job_ids)"
                " VALUES ('replay', 'ann', '', '{1}')"
            )
    finally:
        await connection.close()
    recorded = await sql.fetchval("SELECT created_at FROM operator_actions")
    assert recorded - began >= timedelta(seconds=0.3)


@pytest.mark.usefixtures("reversing")
@pytest.mark.parametrize("at", FORGED_TIMES)
async def test_a_reversal_settles_at_the_time_of_its_transaction(
    api: Sql, worker: Sql, at: str
) -> None:
    for connection, status in ((api, "failed"), (worker, "completed")):
        forged = REVERSED.format(status=status, at=at)
        await _refused(connection, forged, "reversals_are_not_forged")
        forged = f"UPDATE reversals SET updated_at = {at} WHERE id = '{REVERSAL}'"
        await _refused(connection, forged, "reversals_are_not_forged")
    await worker.execute(REVERSED.format(status="completed", at="now()"))


@pytest.mark.usefixtures("reversing")
async def test_the_api_cannot_complete_nor_the_worker_fail_a_reversal(
    api: Sql, worker: Sql
) -> None:
    completed, failed = (REVERSED.format(status=s, at="now()") for s in ("completed", "failed"))
    await _refused(api, completed, "reversals_are_not_forged")
    await _refused(worker, failed, "reversals_are_not_forged")
    await api.execute(failed)


@pytest.mark.usefixtures("reversing")
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE reversal_totals SET reserved = 0",
        "UPDATE reversal_totals SET reserved = reserved - 0.6",
        f"INSERT INTO reversal_totals VALUES ('{UUID(int=9)}', 9, 0)",
        "INSERT INTO reversal_totals SELECT * FROM reversal_totals"
        " ON CONFLICT (payment_id) DO UPDATE SET reserved = 0",
    ],
)
async def test_the_api_cannot_write_totals_directly(api: Sql, change: str) -> None:
    with pytest.raises(asyncpg.RestrictViolationError, match="never changed"):
        await api.execute(change)


EXCEED = [
    REVERSE.format(id=UUID(int=3), amount="0.41"),
    f"DO $$ BEGIN {REVERSE.format(id=UUID(int=3), amount='0.41')}; END $$",
    REVERSE.format(id=UUID(int=3), amount="0.2")
    + f", ('{UUID(int=4)}', '4', sha256('r'), '{PAYMENT}', 'acc_1', 'USD', 'default', 0.21, 'r')",
    REVERSE.format(id=UUID(int=3), amount="0.41")
    + " ON CONFLICT (id) DO UPDATE SET updated_at = now()",
]


@pytest.mark.usefixtures("reversing")
@pytest.mark.parametrize("statement", EXCEED)
async def test_the_api_cannot_reverse_more_than_the_payment(api: Sql, statement: str) -> None:
    await _refused(api, statement, "reversals_never_exceed_the_payment")
    await api.execute(REVERSE.format(id=UUID(int=5), amount="0.4"))


@pytest.mark.usefixtures("reversing")
@pytest.mark.parametrize("role", ["payments_worker", "payments_readonly"])
async def test_only_the_api_creates_reversals(database_url: str, role: str) -> None:
    connection = await _connected(database_url, role)
    try:
        await connection.execute("SET default_transaction_read_only = off")
        for statement in (
            REVERSE.format(id=UUID(int=3), amount="0.1"),
            "UPDATE reversal_totals SET reserved = 0",
            "UPDATE reversals SET amount = 0.1",
            "DELETE FROM reversals",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()


@pytest.mark.usefixtures("reversing")
async def test_a_settled_reversal_is_neither_failed_nor_reserved_again(
    api: Sql, worker: Sql, sql: Sql
) -> None:
    await worker.execute(REVERSED.format(status="completed", at="now()"))
    with pytest.raises(asyncpg.RestrictViolationError):
        await api.execute(REVERSED.format(status="failed", at="now()"))
    assert str(await sql.fetchval("SELECT reserved FROM reversal_totals")) == "0.6"
