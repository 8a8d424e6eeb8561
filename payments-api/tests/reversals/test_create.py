"""Reversals: stored once with their job; their sum never exceeds the payment, in any race."""

import asyncio
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
from prometheus_client import REGISTRY
from quart.typing import TestClientProtocol
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_api.accounts import queries
from testkit.database.backlog import Stored, add_payments
from testkit.database.ledgers.settled import FAST
from testkit.database.sql import Sql
from testkit.model.ledger import assert_audit_is_clean
from testkit.worker.own_system import running_worker

from .conftest import STORED, code_of, reverse, settle


async def get_ok(client: TestClientProtocol, path: str) -> Any:
    answer = await client.get(path)
    assert answer.status_code == 200, await answer.get_data()
    return await answer.get_json()


async def test_a_hundred_concurrent_partial_reversals_never_exceed_the_payment(
    client: TestClientProtocol,
    sql: Sql,
    engine: AsyncEngine,
    paid: Stored,
    worker_url_of_database: str,
) -> None:
    async with running_worker(worker_url_of_database, clearing_shards=1, **FAST):
        answers = await asyncio.gather(*(reverse(client, paid, amount="3.00") for _ in range(100)))
    statuses = [answer.status_code for answer in answers]
    assert (statuses.count(201), statuses.count(409)) == (33, 67)
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert await code_of(refused) == (409, "reversal_exceeds_payment")
    assert tuple(await sql.fetchrow(STORED) or ()) == (33, 33)
    await settle(sql, worker_url_of_database)
    assert (await get_ok(client, f"/payments/{paid.id}"))["reversedAmount"] == "99.00"
    balance = await get_ok(client, "/accounts/acc_1/balance")
    assert (balance["balance"], balance["sequence"], balance["pending"]) == ("1.00", 34, "0.00")
    assert (await reverse(client, paid, amount="1.00")).status_code == 201
    assert await code_of(await reverse(client, paid)) == (409, "reversal_exceeds_payment")
    await assert_audit_is_clean(engine)


async def test_the_database_rejects_reversals_beyond_the_payment(sql: Sql, paid: Stored) -> None:
    insert = (
        "INSERT INTO reversals (id, idempotency_key, request_fingerprint, payment_id, account_id,"
        " currency, source, amount, reason) SELECT gen_random_uuid(), gen_random_uuid()::text,"
        " sha256(''), id, account_id, currency, source, $1, 'r' FROM payments"
    )
    await sql.execute(insert, Decimal("60.00"))
    with pytest.raises(asyncpg.CheckViolationError, match="reversals_never_exceed_the_payment"):
        await sql.execute(insert, Decimal("40.01"))
    await sql.execute(insert, Decimal("40.00"))
    with pytest.raises(asyncpg.CheckViolationError, match="reversals_never_exceed_the_payment"):
        await sql.execute(insert, Decimal("0.01"))


async def test_a_reversal_debits_the_account_and_credits_the_clearing_account(
    client: TestClientProtocol, sql: Sql, engine: AsyncEngine, worker_url_of_database: str
) -> None:
    body = {"accountId": "acc_1", "amount": "10.00", "source": "bank-1"}
    answer = await client.post("/payments", json=body, headers={"Idempotency-Key": "p"})
    payment_id = (await answer.get_json())["id"]
    await settle(sql, worker_url_of_database)
    more = {"amount": "4", "reference": "R 1", "metadata": {"a": "b"}}
    created = await (await reverse(client, payment_id, "r", **more)).get_json()
    assert created["status"] == "pending"
    balance = await get_ok(client, "/accounts/acc_1/balance")
    assert (balance["balance"], balance["pending"]) == ("10.00", "-4.00")
    await settle(sql, worker_url_of_database)
    reversal = await get_ok(client, f"/reversals/{created['id']}")
    assert {name: reversal[name] for name in created} == created | {"status": "completed"}
    assert (reversal["reference"], reversal["metadata"]) == ("R 1", {"a": "b"})
    debit, credit = reversal["ledgerEntries"]
    assert (debit["entryType"], debit["direction"], debit["amount"]) == (
        *("reversal", "debit", "4.00"),
    )
    assert (debit["accountId"], debit["balanceAfter"]) == ("acc_1", "6.00")
    assert (credit["accountId"], credit["direction"]) == ("sys:clearing:bank-1:00", "credit")
    assert {leg["postingKind"] for leg in (debit, credit)} == {"reversal"}
    listed = await get_ok(client, f"/payments/{payment_id}/reversals")
    assert listed == {"reversals": [reversal], "nextCursor": None, "previousCursor": None}
    payment = await get_ok(client, f"/payments/{payment_id}")
    assert payment["reversedAmount"] == "4.00"
    assert [leg["entryType"] for leg in payment["ledgerEntries"]] == ["payment", "clearing"]
    entry = (await get_ok(client, "/accounts/acc_1/entries"))["entries"][0]
    assert (entry["paymentId"], entry["reversalId"]) == (payment_id, created["id"])
    await assert_audit_is_clean(engine)


async def test_an_account_may_go_below_zero(
    client: TestClientProtocol, sql: Sql, paid: Stored, worker_url_of_database: str
) -> None:
    """The money may have left the account in another way; the account then owes it."""
    (other,) = await add_payments(sql, [("acc_2", "5", "USD")])
    await settle(sql, worker_url_of_database)
    await sql.execute("UPDATE accounts SET balance = -1, debits = 6 WHERE account_id = 'acc_2'")
    await reverse(client, other)
    await settle(sql, worker_url_of_database)
    assert (await get_ok(client, "/accounts/acc_2/balance"))["balance"] == "-6.00"


async def test_pending_is_unknown_while_too_many_jobs_are_unfinished(
    client: TestClientProtocol, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounded = queries.PENDING.text.replace(str(queries.PENDING_JOBS_MAX), "2")
    bounded = bounded.replace(str(queries.PENDING_JOBS_MAX + 1), "3")
    monkeypatch.setattr(queries, "PENDING", text(bounded))
    for wanted in ("1.00", "2.00", None):
        await add_payments(sql, [("acc_1", "1", "USD")])
        assert (await get_ok(client, "/accounts/acc_1/balance"))["pending"] == wanted


async def test_each_creation_replay_and_rejection_is_counted(
    client: TestClientProtocol, paid: Stored
) -> None:
    def counted() -> list[float]:
        return [
            REGISTRY.get_sample_value(f"reversals_{name}", labels) or 0.0
            for name, labels in (
                ("created_total", {}),
                ("replayed_total", {}),
                ("rejected_total", {"reason": "validation_error"}),
                ("rejected_total", {"reason": "reversal_exceeds_payment"}),
            )
        ]

    before = counted()
    for amount in ("1.00", "1.00", "0", "1000.00"):
        await reverse(client, paid, key="k" if amount == "1.00" else None, amount=amount)
    assert [after - then for after, then in zip(counted(), before, strict=True)] == [1, 1, 1, 1]


async def test_without_an_amount_the_rest_is_reversed(
    client: TestClientProtocol, paid: Stored
) -> None:
    await reverse(client, paid, amount="30.00")
    rest = await (await reverse(client, paid)).get_json()
    assert rest["amount"] == "70.00"
    refused = await reverse(client, paid)
    assert await code_of(refused) == (409, "reversal_exceeds_payment")
    assert (await refused.get_json())["detail"] == "The payment is already reversed in full."


async def test_a_refusal_names_the_amount_that_can_still_be_reversed(
    client: TestClientProtocol, paid: Stored
) -> None:
    await reverse(client, paid, amount="80.00")
    refused = await (await reverse(client, paid, amount="20.01")).get_json()
    assert refused["code"] == "reversal_exceeds_payment"
    assert refused["detail"] == (
        "Only 20.00 USD of the payment is not yet reversed: send at most that."
    )


async def test_a_hundred_requests_with_one_key_make_one_reversal(
    client: TestClientProtocol, sql: Sql, paid: Stored
) -> None:
    answers = await asyncio.gather(*(reverse(client, paid, "k") for _ in range(100)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({await answer.get_data() for answer in answers}) == 1
    replayed = [answer.headers.get("Idempotency-Replayed") for answer in answers]
    assert sorted(replayed, key=str) == [None, *["true"] * 99]
    assert tuple(await sql.fetchrow(STORED) or ()) == (1, 1)


@pytest.fixture
async def dead(client: TestClientProtocol, sql: Sql, paid: Stored) -> tuple[Stored, str, int]:
    """Create a payment, its reversal of 60.00 and the reversal's job, a dead letter."""
    created = await (await reverse(client, paid, amount="60.00")).get_json()
    job_id = await sql.fetchval(
        "UPDATE recon_jobs SET status = 'failed', last_error = 'x' WHERE reversal_id IS NOT NULL"
        " RETURNING id"
    )
    return paid, created["id"], job_id


async def test_a_discarded_reversal_fails_and_frees_its_amount(
    client: TestClientProtocol, engine: AsyncEngine, dead: tuple[Stored, str, int]
) -> None:
    paid, reversal_id, job_id = dead
    (listed,) = (await get_ok(client, "/jobs"))["jobs"]
    assert (listed["paymentId"], listed["reversalId"]) == (str(paid.id), reversal_id)
    answer = await client.post(f"/jobs/{job_id}/discard", json={"actor": "ann", "reason": "no"})
    assert answer.status_code == 200, await answer.get_data()
    reversal = await get_ok(client, f"/reversals/{reversal_id}")
    assert (reversal["status"], reversal["notes"]) == ("failed", "Discarded by ann: no")
    assert reversal["ledgerEntries"] == []
    assert (await get_ok(client, f"/payments/{paid.id}"))["reversedAmount"] == "0.00"
    assert (await reverse(client, paid, amount="60.00")).status_code == 201
    await assert_audit_is_clean(engine)


async def test_a_replayed_reversal_is_posted(
    client: TestClientProtocol,
    sql: Sql,
    engine: AsyncEngine,
    dead: tuple[Stored, str, int],
    worker_url_of_database: str,
) -> None:
    _, reversal_id, job_id = dead
    await client.post(f"/jobs/{job_id}/replay", json={"actor": "ann", "reason": "again"})
    await settle(sql, worker_url_of_database)
    assert (await get_ok(client, f"/reversals/{reversal_id}"))["status"] == "completed"
    await assert_audit_is_clean(engine)


async def test_an_operator_is_recorded_with_the_reversal_and_not_with_a_replay(
    client: TestClientProtocol, sql: Sql, paid: Stored
) -> None:
    for _ in range(2):
        await client.post(
            f"/payments/{paid.id}/reversals",
            json={"reason": "Returned"},
            headers={"Idempotency-Key": "k", "Payments-Operator": "ada"},
        )
    recorded = await sql.fetch("SELECT action, actor, reason, payment_id FROM operator_actions")
    assert [tuple(row) for row in recorded] == [("reverse", "ada", "Returned", paid.id)]
