"""Reversals: stored once with their job; their sum never exceeds the payment, in any race."""

import asyncio
import json
from decimal import Decimal
from typing import Any, TypeAlias
from uuid import uuid4

import asyncpg
import pytest
from prometheus_client import REGISTRY
from quart.typing import TestClientProtocol
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_api.accounts import queries
from testkit.database.backlog import Stored, add_payments
from testkit.database.settled_ledger import FAST, until_all_settled
from testkit.model.ledger import assert_audit_is_clean
from testkit.worker.own_system import running_worker

Sql: TypeAlias = "asyncpg.Connection[Any]"

STORED = "SELECT (SELECT count(*) FROM reversals), (SELECT count(*) FROM recon_jobs) - 1"


@pytest.fixture
async def paid(sql: Sql, worker_url_of_database: str) -> Stored:
    """Create a completed payment of 100.00 USD."""
    (payment,) = await add_payments(sql, [("acc_1", "100", "USD")])
    await _settle(sql, worker_url_of_database)
    return payment


async def _settle(sql: Sql, url: str) -> None:
    async with running_worker(url, clearing_shards=1, **FAST):
        await until_all_settled(sql)


async def _reverse(
    client: TestClientProtocol, payment: Stored | str, key: str | None = None, **body: Any
) -> Any:
    payment_id = payment if isinstance(payment, str) else payment.id
    headers = {"Idempotency-Key": key or str(uuid4())}
    body = {"reason": "a test"} | body
    return await client.post(f"/payments/{payment_id}/reversals", json=body, headers=headers)


async def _get(client: TestClientProtocol, path: str) -> Any:
    answer = await client.get(path)
    assert answer.status_code == 200, await answer.get_data()
    return await answer.get_json()


async def _code(answer: Any) -> tuple[int, str]:
    return answer.status_code, (await answer.get_json())["code"]


async def test_a_hundred_concurrent_partial_reversals_never_exceed_the_payment(
    client: TestClientProtocol,
    sql: Sql,
    engine: AsyncEngine,
    paid: Stored,
    worker_url_of_database: str,
) -> None:
    async with running_worker(worker_url_of_database, clearing_shards=1, **FAST):
        answers = await asyncio.gather(*(_reverse(client, paid, amount="3.00") for _ in range(100)))
    statuses = [answer.status_code for answer in answers]
    assert (statuses.count(201), statuses.count(409)) == (33, 67)
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert await _code(refused) == (409, "reversal_exceeds_payment")
    assert tuple(await sql.fetchrow(STORED) or ()) == (33, 33)
    await _settle(sql, worker_url_of_database)
    assert (await _get(client, f"/payments/{paid.id}"))["reversedAmount"] == "99.00"
    balance = await _get(client, "/accounts/acc_1/balance")
    assert (balance["balance"], balance["sequence"], balance["pending"]) == ("1.00", 34, "0.00")
    assert (await _reverse(client, paid, amount="1.00")).status_code == 201
    assert await _code(await _reverse(client, paid)) == (409, "reversal_exceeds_payment")
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
    await _settle(sql, worker_url_of_database)
    more = {"amount": "4", "reference": "R 1", "metadata": {"a": "b"}}
    created = await (await _reverse(client, payment_id, "r", **more)).get_json()
    assert created["status"] == "pending"
    balance = await _get(client, "/accounts/acc_1/balance")
    assert (balance["balance"], balance["pending"]) == ("10.00", "-4.00")
    await _settle(sql, worker_url_of_database)
    reversal = await _get(client, f"/reversals/{created['id']}")
    assert {name: reversal[name] for name in created} == created | {"status": "completed"}
    assert (reversal["reference"], reversal["metadata"]) == ("R 1", {"a": "b"})
    debit, credit = reversal["ledgerEntries"]
    assert (debit["entryType"], debit["direction"], debit["amount"]) == (
        *("reversal", "debit", "4.00"),
    )
    assert (debit["accountId"], debit["balanceAfter"]) == ("acc_1", "6.00")
    assert (credit["accountId"], credit["direction"]) == ("sys:clearing:bank-1:00", "credit")
    assert {leg["postingKind"] for leg in (debit, credit)} == {"reversal"}
    listed = await _get(client, f"/payments/{payment_id}/reversals")
    assert listed == {"reversals": [reversal], "nextCursor": None, "previousCursor": None}
    payment = await _get(client, f"/payments/{payment_id}")
    assert payment["reversedAmount"] == "4.00"
    assert [leg["entryType"] for leg in payment["ledgerEntries"]] == ["payment", "clearing"]
    entry = (await _get(client, "/accounts/acc_1/entries"))["entries"][0]
    assert (entry["paymentId"], entry["reversalId"]) == (payment_id, created["id"])
    await assert_audit_is_clean(engine)


async def test_an_account_may_go_below_zero(
    client: TestClientProtocol, sql: Sql, paid: Stored, worker_url_of_database: str
) -> None:
    """The money may have left the account in another way; the account then owes it."""
    (other,) = await add_payments(sql, [("acc_2", "5", "USD")])
    await _settle(sql, worker_url_of_database)
    await sql.execute("UPDATE accounts SET balance = -1, debits = 6 WHERE account_id = 'acc_2'")
    await _reverse(client, other)
    await _settle(sql, worker_url_of_database)
    assert (await _get(client, "/accounts/acc_2/balance"))["balance"] == "-6.00"


async def test_pending_is_unknown_while_too_many_jobs_are_unfinished(
    client: TestClientProtocol, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounded = queries.PENDING.text.replace(str(queries.PENDING_JOBS_MAX), "2")
    bounded = bounded.replace(str(queries.PENDING_JOBS_MAX + 1), "3")
    monkeypatch.setattr(queries, "PENDING", text(bounded))
    for wanted in ("1.00", "2.00", None):
        await add_payments(sql, [("acc_1", "1", "USD")])
        assert (await _get(client, "/accounts/acc_1/balance"))["pending"] == wanted


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
        await _reverse(client, paid, key="k" if amount == "1.00" else None, amount=amount)
    assert [after - then for after, then in zip(counted(), before, strict=True)] == [1, 1, 1, 1]


async def test_without_an_amount_the_rest_is_reversed(
    client: TestClientProtocol, paid: Stored
) -> None:
    await _reverse(client, paid, amount="30.00")
    rest = await (await _reverse(client, paid)).get_json()
    assert rest["amount"] == "70.00"
    assert await _code(await _reverse(client, paid)) == (409, "reversal_exceeds_payment")


async def test_a_hundred_requests_with_one_key_make_one_reversal(
    client: TestClientProtocol, sql: Sql, paid: Stored
) -> None:
    answers = await asyncio.gather(*(_reverse(client, paid, "k") for _ in range(100)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({await answer.get_data() for answer in answers}) == 1
    replayed = [answer.headers.get("Idempotency-Replayed") for answer in answers]
    assert sorted(replayed, key=str) == [None, *["true"] * 99]
    assert tuple(await sql.fetchrow(STORED) or ()) == (1, 1)


async def test_a_key_names_one_reversal(
    client: TestClientProtocol, sql: Sql, paid: Stored, worker_url_of_database: str
) -> None:
    first = await _reverse(client, paid, "k", amount="1.00", metadata={"b": "1", "a": "é"})
    again = await _reverse(client, paid, "k", amount=1, metadata={"a": "é", "b": "1"})
    assert await again.get_data() == await first.get_data()
    await _settle(sql, worker_url_of_database)
    again = await _reverse(client, paid, "k", amount=1, metadata={"a": "é", "b": "1"})
    assert await again.get_data() == await first.get_data()
    for other in ({"amount": "2.00"}, {}, {"amount": "1.00", "reason": "another"}):
        answer = await _reverse(client, paid, "k", **other)
        assert await _code(answer) == (422, "idempotency_key_reused")


async def test_only_a_completed_payment_is_reversed(
    client: TestClientProtocol, sql: Sql, worker_url_of_database: str
) -> None:
    pending, failed = await add_payments(sql, [("a", "1", "USD"), ("a", "-1", "USD")])
    assert await _code(await _reverse(client, pending)) == (409, "payment_not_completed")
    await _settle(sql, worker_url_of_database)
    assert await _code(await _reverse(client, failed)) == (409, "payment_not_completed")
    assert (await _reverse(client, pending)).status_code == 201


@pytest.mark.parametrize("payment_id", ["01936f5e-3c7a-7d5e-9a51-0b6c8f1d2e3f", "x", "1"])
async def test_a_payment_that_does_not_exist_is_not_reversed(
    client: TestClientProtocol, payment_id: str
) -> None:
    assert await _code(await _reverse(client, payment_id)) == (404, "payment_not_found")
    answer = await client.get(f"/payments/{payment_id}/reversals")
    assert await _code(answer) == (404, "payment_not_found")
    answer = await client.get(f"/reversals/{payment_id}")
    assert await _code(answer) == (404, "reversal_not_found")


ODD_AMOUNTS: list[Any] = [True, [], {}, "NaN", "1e999999999", "1e15"]
ODD_METADATA: list[Any] = [None, [], {"k": 1}, {"": ""}, {"k": "\0"}]
BODIES: list[tuple[dict[str, Any], str]] = [
    *(({"amount": amount}, "amount") for amount in ("0", 0, "-1", "1.001", "1e-3", "x", "", None)),
    *(({"amount": amount}, "amount") for amount in ODD_AMOUNTS),
    *(({"reason": reason}, "reason") for reason in ("", " ", None, 7, "r" * 501, "\0", "\ud800")),
    *(({"reference": text}, "reference") for text in ("", None, "a//b", "r" * 36, "é")),
    *(({"metadata": value}, "metadata") for value in ODD_METADATA),
    ({"currency": "USD"}, "currency"),
    ({"metadata": {"Order": "1", "order": "2"}}, "metadata"),
]


@pytest.mark.parametrize(("body", "field"), BODIES, ids=str)
async def test_a_wrong_field_is_named_and_nothing_is_stored(
    client: TestClientProtocol, sql: Sql, paid: Stored, body: dict[str, Any], field: str
) -> None:
    headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
    data = json.dumps({"reason": "r"} | body)
    path = f"/payments/{paid.id}/reversals"
    answer = await client.post(path, data=data, headers=headers)
    problem = await answer.get_json()
    assert (answer.status_code, problem["code"]) == (422, "validation_error")
    assert [error["field"] for error in problem["errors"]] == [field]
    assert tuple(await sql.fetchrow(STORED) or ()) == (0, 0)


async def test_a_reversal_needs_a_key_and_a_reason(
    client: TestClientProtocol, paid: Stored
) -> None:
    path = f"/payments/{paid.id}/reversals"
    answer = await client.post(path, json={"reason": "r"})
    assert await _code(answer) == (400, "idempotency_key_missing")
    answer = await client.post(path, json={}, headers={"Idempotency-Key": "k"})
    assert await _code(answer) == (422, "validation_error")


@pytest.mark.parametrize(("currency", "amount"), [("JPY", "1.0"), ("BHD", "1.0001")])
async def test_an_amount_has_the_decimals_of_the_payment(
    client: TestClientProtocol, sql: Sql, worker_url_of_database: str, currency: str, amount: str
) -> None:
    (payment,) = await add_payments(sql, [("a", "10", currency)])
    await _settle(sql, worker_url_of_database)
    refused = await _reverse(client, payment, amount=amount.replace("0", "1"))
    assert refused.status_code == 422
    whole = await (await _reverse(client, payment)).get_json()
    assert Decimal(whole["amount"]) == 10


@pytest.fixture
async def dead(client: TestClientProtocol, sql: Sql, paid: Stored) -> tuple[Stored, str, int]:
    """Create a payment, its reversal of 60.00 and the reversal's job, a dead letter."""
    created = await (await _reverse(client, paid, amount="60.00")).get_json()
    job_id = await sql.fetchval(
        "UPDATE recon_jobs SET status = 'failed', last_error = 'x' WHERE reversal_id IS NOT NULL"
        " RETURNING id"
    )
    return paid, created["id"], job_id


async def test_a_discarded_reversal_fails_and_frees_its_amount(
    client: TestClientProtocol, engine: AsyncEngine, dead: tuple[Stored, str, int]
) -> None:
    paid, reversal_id, job_id = dead
    (listed,) = (await _get(client, "/jobs"))["jobs"]
    assert (listed["paymentId"], listed["reversalId"]) == (str(paid.id), reversal_id)
    answer = await client.post(f"/jobs/{job_id}/discard", json={"actor": "ann", "reason": "no"})
    assert answer.status_code == 200, await answer.get_data()
    reversal = await _get(client, f"/reversals/{reversal_id}")
    assert (reversal["status"], reversal["notes"]) == ("failed", "Discarded by ann: no")
    assert reversal["ledgerEntries"] == []
    assert (await _get(client, f"/payments/{paid.id}"))["reversedAmount"] == "0.00"
    assert (await _reverse(client, paid, amount="60.00")).status_code == 201
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
    await _settle(sql, worker_url_of_database)
    assert (await _get(client, f"/reversals/{reversal_id}"))["status"] == "completed"
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
