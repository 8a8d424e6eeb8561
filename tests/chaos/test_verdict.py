"""The verdict detects each kind of deliberate damage."""

import json
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID, uuid4

import asyncpg
import pytest

from payments_local.postgres import EmbeddedPostgres
from testkit.chaos.promises import Promises
from testkit.chaos.system.database import Database
from testkit.chaos.system.running import System
from testkit.chaos.verdict import Verdict, judge
from testkit.database.backlog import Stored, add_payments
from testkit.database.ledgers.settled import break_ledger, until_all_settled
from testkit.database.reversals import add_reversal
from testkit.database.sql import Sql
from testkit.worker.own_system import running_worker

WANTED = [("acc_1", "5.00", "USD"), ("acc_2", "6.13", "USD"), ("acc_1", "-1.00", "USD")]


@dataclass
class Settled:
    """An idle system, and the log of its promises."""

    sql: Sql
    system: System
    promises: Promises

    async def judged(self) -> Verdict:
        """Return the verdict over the system's current state."""
        return await judge(self.system, self.promises)


@pytest.fixture
async def settled(sql: Sql, postgres: EmbeddedPostgres, worker_url_of_database: str) -> Settled:
    stored = await add_payments(sql, WANTED)
    async with running_worker(worker_url_of_database, audit_interval_seconds=0):
        await until_all_settled(sql)
    promises = Promises()
    for payment in stored:
        key = f"key-{payment.id}"
        promises.orders[key] = {
            "accountId": payment.account_id,
            "amount": str(payment.amount),
            "currency": payment.currency,
        }
        promises.answers[key] = json.dumps({"id": str(payment.id)})
    return Settled(sql, System(Database(postgres, None)), promises)


async def test_a_system_that_kept_its_promises_passes(settled: Settled) -> None:
    verdict = await settled.judged()
    assert verdict.wrong == []
    assert verdict.figures["payments accepted"] == len(WANTED)
    assert verdict.figures["invariants that hold"] > 10


async def test_a_missing_accepted_payment_is_reported(settled: Settled) -> None:
    settled.promises.orders["gone"] = {"accountId": "a", "amount": "1", "currency": "USD"}
    settled.promises.answers["gone"] = json.dumps({"id": str(uuid4())})
    assert (await settled.judged()).wrong == ["1 accepted payments are lost: gone"]


async def test_a_stored_rejected_payment_is_reported(settled: Settled) -> None:
    key = next(iter(settled.promises.answers))
    del settled.promises.answers[key]
    settled.promises.refused[key] = "validation_failed"
    assert (await settled.judged()).wrong == [f"1 refused payments are there: {key}"]


async def test_keys_without_outcome_and_unknown_payments_are_reported(
    settled: Settled,
) -> None:
    first, second, _ = settled.promises.orders
    del settled.promises.answers[first]
    del settled.promises.orders[second]
    del settled.promises.answers[second]
    assert (await settled.judged()).wrong == [
        f"1 keys without an outcome: {first}",
        f"1 payments nobody sent: {second}",
    ]


async def test_an_answer_that_differs_from_the_stored_payment_is_reported(
    settled: Settled,
) -> None:
    first, second, _ = settled.promises.orders
    settled.promises.answers[first] = json.dumps({"id": str(uuid4())})
    settled.promises.orders[second]["amount"] = "6.14"
    wrong = (await settled.judged()).wrong
    assert [complaint.split()[0] for complaint in wrong] == [first, second]


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("UPDATE recon_jobs SET status = 'pending' WHERE id = 1", "is not finished"),
        ("DELETE FROM recon_jobs WHERE id = 1", "has 0 jobs"),
        ("UPDATE ledger_entries SET amount = amount + 1 WHERE id = 1", "not the model's"),
        ("DELETE FROM reconciliation_results WHERE id = 1", "not the model's"),
        ("UPDATE accounts SET seq = seq + 1", "the auditor finds"),
    ],
)
async def test_damage_to_the_tables_is_reported(settled: Settled, damage: str, says: str) -> None:
    await break_ledger(settled.sql, damage)
    assert any(says in complaint for complaint in (await settled.judged()).wrong)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("UPDATE recon_jobs SET status = 'pending' WHERE reversal_id IS NOT NULL", "not finished"),
        ("DELETE FROM recon_jobs WHERE reversal_id IS NOT NULL", "not finished"),
        ("UPDATE reversals SET amount = amount + 1", "was ("),
        ("DELETE FROM reversals", "1 accepted payments are lost: key-"),
        ("DELETE FROM ledger_entries WHERE reversal_id IS NOT NULL", "not the model's"),
        ("DELETE FROM reconciliation_results WHERE payment_id IS NULL", "not the model's"),
        ("UPDATE reversal_totals SET reserved = 0", "the auditor finds"),
    ],
)
async def test_damage_to_a_reversal_is_reported(
    settled: Settled, worker_url_of_database: str, damage: str, says: str
) -> None:
    paid, order = next(iter(settled.promises.orders.items()))
    payment_id = json.loads(settled.promises.answers[paid])["id"]
    payment = Stored(UUID(payment_id), order["accountId"], Decimal(5), order["currency"])
    reversal_id = await add_reversal(settled.sql, payment, "2")
    async with running_worker(worker_url_of_database, audit_interval_seconds=0):
        await until_all_settled(settled.sql)
    key = f"key-{reversal_id}"
    settled.promises.orders[key] = {"reverses": payment_id, "amount": "2.00", "reason": "r"}
    settled.promises.answers[key] = json.dumps({"id": str(reversal_id)})
    assert (await settled.judged()).wrong == []
    await break_ledger(settled.sql, damage)
    assert any(says in complaint for complaint in (await settled.judged()).wrong)


async def test_an_open_transaction_is_reported(
    settled: Settled, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("testkit.chaos.verdict.QUIET_SECONDS_MAX", 0.2)
    forgotten = await asyncpg.connect(database_url)
    await forgotten.execute("BEGIN; SELECT 1")
    wrong = (await settled.judged()).wrong
    await forgotten.close()
    assert [complaint for complaint in wrong if "idle in transaction" in complaint] == wrong
    assert wrong
