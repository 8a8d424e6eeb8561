"""What a tenant's key may do: its tenant, its scopes, its names."""

import json

import pytest
from quart import Quart

from payments_api.auth.caller import JOBS_ADMIN, LEDGER_READ, PAYMENTS_READ
from testkit.database.sql import Sql

from .conftest import ALL_OF_A_TENANT, Keys, Party

pytestmark = pytest.mark.usefixtures("impatient")


async def test_a_batch_belongs_to_the_tenant(kept: Quart, make_key: Keys, sql: Sql) -> None:
    items = [
        {"idempotencyKey": key, "accountId": "acc_1", "amount": "1.00"} for key in ("k", "k", "j")
    ]
    answers = []
    for tenant in ("blue", "green", None):
        party = Party(kept.test_client(), await make_key(tenant), tenant)
        status, told = await party.ask("/payments/batch", json={"payments": items})
        assert status == 200
        assert [item["replayed"] for item in told["payments"]] == [False, True, False]
        assert {item["payment"]["accountId"] for item in told["payments"]} == {"acc_1"}
        answers += [item["payment"]["id"] for item in told["payments"]]
    assert len(set(answers)) == 6
    stored = await sql.fetch("SELECT account_id, idempotency_key FROM payments ORDER BY id")
    assert {tuple(row) for row in stored} == {
        *(("blue~acc_1", "blue k"), ("blue~acc_1", "blue j")),
        *(("green~acc_1", "green k"), ("green~acc_1", "green j")),
        *(("acc_1", "k"), ("acc_1", "j")),
    }


async def test_a_key_without_a_tenant_cannot_write_into_one(kept: Quart, make_key: Keys) -> None:
    house = Party(kept.test_client(), await make_key(None), None)
    body = {"accountId": "blue~acc_1", "amount": "1.00"}
    assert (await house.ask("/payments", json=body, headers={"Idempotency-Key": "k"}))[0] == 422
    body["accountId"] = "acc_1"
    for key in ("blue k", '"blue k"'):
        answer = await house.ask("/payments", json=body, headers={"Idempotency-Key": key})
        assert answer[0] == 400


async def test_the_longest_names_fit_and_longer_ones_are_rejected(
    kept: Quart, make_key: Keys
) -> None:
    tenant = "t" * 32
    party = Party(kept.test_client(), await make_key(tenant), tenant)
    account, key = "a" * 95, "k" * 222
    await party.pay(key, account, "1.00")
    body = {"accountId": "a" * 96, "amount": "1.00"}
    status, told = await party.ask("/payments", json=body, headers={"Idempotency-Key": "k"})
    assert (status, told["code"]) == (422, "validation_error")
    assert "95 characters" in told["detail"]
    body["accountId"] = "acc_1"
    sent = {"Idempotency-Key": "k" * 223}
    status, told = await party.ask("/payments", json=body, headers=sent)
    assert (status, told["code"]) == (400, "idempotency_key_invalid")
    assert "222 characters" in told["detail"]


async def test_entries_within_a_payment_need_the_ledgers_scope(kept: Quart, make_key: Keys) -> None:
    party = Party(kept.test_client(), await make_key(None), None)
    await party.pay("k", "acc_1", "1.00")
    (payment_id,) = party.ids()
    for scopes, wanted in (((PAYMENTS_READ,), None), ((PAYMENTS_READ, LEDGER_READ), [])):
        reader = Party(kept.test_client(), await make_key(None, *scopes), None)
        assert (await reader.ask(f"/payments/{payment_id}"))[1]["ledgerEntries"] == wanted


async def test_a_payments_job_needs_the_operators_scope(
    kept: Quart, make_key: Keys, sql: Sql
) -> None:
    party = Party(kept.test_client(), await make_key(None), None)
    await party.pay("k", "acc_1", "1.00")
    (payment_id,) = party.ids()
    internal = {"last_error": "relation secret_plan", "locked_by": "worker-of-host-7"}
    await sql.execute("UPDATE recon_jobs SET last_error = $1, locked_by = $2", *internal.values())
    for scopes in ((PAYMENTS_READ,), ALL_OF_A_TENANT, (PAYMENTS_READ, JOBS_ADMIN)):
        reader = Party(kept.test_client(), await make_key(None, *scopes), None)
        answers = [await reader.ask(path) for path in (f"/payments/{payment_id}", "/payments")]
        shown = [text in json.dumps(answers) for text in internal.values()]
        assert shown == [JOBS_ADMIN in scopes] * 2, scopes
