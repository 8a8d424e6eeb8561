"""One payment: its job, result and entries, and unknown ids."""

from collections.abc import Callable
from typing import Any

import pytest
from quart.typing import TestClientProtocol

from testkit.database.sql import Sql

from .conftest import create_payment, until_settled

IDS = [
    "x",
    "0",
    "01936f5e",
    "01936f5e3c7a7d5e9a510b6c8f1d2e3f",
    "{01936f5e-3c7a-7d5e-9a51-0b6c8f1d2e3f}",
    "urn:uuid:01936f5e-3c7a-7d5e-9a51-0b6c8f1d2e3f",
    "01936f5e-3c7a-7d5e-9a51-0b6c8f1d2e3g",
    "01936f5e-3c7a-7d5e-9a51-0b6c8f1d2e3f0",
    "01936f5e-3c7a-7d5e-9a51-0b6c8f1d2e3f",  # Well-formed but unknown.
    "%00",
    "%FF",
]


@pytest.mark.parametrize("payment_id", IDS)
async def test_a_malformed_or_unknown_id_is_a_404(
    client: TestClientProtocol, payment_id: str
) -> None:
    answer = await client.get(f"/payments/{payment_id}")
    assert answer.status_code == 404
    assert (await answer.get_json())["code"] == "payment_not_found"


async def test_batch_is_not_a_payment_id(client: TestClientProtocol) -> None:
    answer = await client.get("/payments/batch")
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]


async def test_ids_are_accepted_in_capitals(client: TestClientProtocol) -> None:
    payment = await create_payment(client)
    answer = await client.get(f"/payments/{payment['id'].upper()}")
    assert (await answer.get_json())["id"] == payment["id"]


async def test_a_payment_has_its_job_result_and_entries(
    client: TestClientProtocol, sql: Sql, start_worker: Callable[..., Any]
) -> None:
    made = [
        await create_payment(client, amount=amount) for amount in ("5.00", "7.13", "0", "-5.13")
    ]
    before = await (await client.get(f"/payments/{made[0]['id']}")).get_json()
    assert before["reconciliation"] is None
    assert before["ledgerEntries"] == []
    assert before["settledAt"] is None
    assert before["job"]["status"] == "pending"
    await start_worker()
    await until_settled(sql, 4)
    found = [await (await client.get(f"/payments/{p['id']}")).get_json() for p in made]
    assert [
        (p["status"], p["reconciliation"]["status"], p["reconciliation"]["discrepancyAmount"])
        for p in found
    ] == [
        ("completed", "completed", None),
        ("completed", "completed_with_discrepancy", "0.13"),
        ("failed", "failed", None),
        ("failed", "failed", None),
    ]
    assert [p["discrepancyAmount"] for p in found] == [None, "0.13", None, None]
    assert [len(p["ledgerEntries"]) for p in found] == [2, 2, 0, 0]
    legs = found[1]["ledgerEntries"]
    assert [(leg["entryType"], leg["direction"], leg["amount"]) for leg in legs] == [
        ("payment", "credit", "7.13"),
        ("clearing", "debit", "7.13"),
    ]


async def test_a_payment_whose_job_was_pruned_is_still_shown(
    client: TestClientProtocol, sql: Sql, start_worker: Callable[..., Any]
) -> None:
    payment = await create_payment(client)
    await start_worker()
    await until_settled(sql, 1)
    await sql.execute("DELETE FROM recon_jobs")
    found = await (await client.get(f"/payments/{payment['id']}")).get_json()
    assert (found["status"], found["job"]) == ("completed", None)
