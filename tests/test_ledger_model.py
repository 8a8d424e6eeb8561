"""The real API, worker and Postgres, driven at random and compared with a model of the ledger.

Hypothesis chooses the actions of clients, workers and operators; after each step the system and a
dictionary in plain Python must agree.
"""

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import asyncpg
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from quart.typing import TestClientProtocol

from payments_api.app import create_app
from payments_api.settings import ApiSettings
from payments_core.db.engine import create_engine
from testkit.database.ledger_model import assert_audit_is_clean, expected_result
from testkit.waiting import until
from testkit.worker.own_system import running_worker

DECIMALS = {"USD": 2, "JPY": 0}
CURES_NOTHING = "poison"  # The worker cannot settle this account's payments.
POISON = """
DROP FUNCTION IF EXISTS poison() CASCADE;
CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'poisoned payment'; END $$;
CREATE TRIGGER poison BEFORE UPDATE ON payments FOR EACH ROW
WHEN (NEW.account_id = 'poison' AND current_user = 'payments_worker') EXECUTE FUNCTION poison()"""
EMPTY = """
SET session_replication_role = replica;
TRUNCATE payments, recon_jobs, reconciliation_results, accounts, ledger_entries, ledger_seals,
    operator_actions
RESTART IDENTITY;
SET session_replication_role = DEFAULT"""

ORDERS = st.tuples(
    st.sampled_from(["a", "b", CURES_NOTHING]),
    st.sampled_from(
        [("USD", amount) for amount in ("10.00", "5.13", "0.13", "0.00", "-1.00", "-5.13")]
        + [("JPY", amount) for amount in ("113", "13", "0", "-5")]
    ),
).map(lambda drawn: {"accountId": drawn[0], "currency": drawn[1][0], "amount": drawn[1][1]})


@dataclass
class Paid:
    """The model's data of a payment; `dead` while its job is a dead letter."""

    order: dict[str, str]
    answer: dict[str, str]
    status: str = "pending"
    dead: bool = False

    @property
    def amount(self) -> Decimal:
        """Return the requested amount."""
        return Decimal(self.order["amount"])


@dataclass
class System:
    """The app, its database, and a loop to run them on."""

    runner: "asyncio.Runner"
    client: TestClientProtocol
    sql: "asyncpg.Connection[Any]"
    worker_url: str

    def call(self, method: str, path: str, body: Any = None, key: str | None = None) -> Any:
        """Return (status, parsed answer, headers) of one request."""

        async def send() -> Any:
            headers = {"Idempotency-Key": key} if key else {}
            request = self.client.open(path, method=method, json=body, headers=headers)
            response = await request
            return response.status_code, json.loads(await response.get_data()), response.headers

        return self.runner.run(send())

    def get(self, path: str) -> Any:
        """Return the answer to a GET that must succeed."""
        status, answer, _ = self.call("GET", path)
        assert status == 200, answer
        return answer

    def work(self) -> None:
        """Let a worker run until no job is left. A failing job has one attempt."""

        async def idle() -> bool:
            unfinished = "status IN ('pending', 'processing')"
            query = f"SELECT count(*) FROM recon_jobs WHERE {unfinished}"
            return not await self.sql.fetchval(query)

        async def run() -> None:
            await self.sql.execute("UPDATE recon_jobs SET max_attempts = 1")
            async with running_worker(self.worker_url, poll_only=True):
                await until(idle)

        self.runner.run(run())


def machine_on(system: System) -> type[RuleBasedStateMachine]:
    """Return the state machine's class, for this system."""

    class Payments(RuleBasedStateMachine):
        keys = Bundle("keys")

        def __init__(self) -> None:
            super().__init__()
            system.runner.run(system.sql.execute(EMPTY))
            self.paid: dict[str, Paid] = {}
            self.actions = 0

        @rule(target=keys, order=ORDERS)
        def create(self, order: dict[str, str]) -> str:
            key = f"key-{len(self.paid)}"
            status, answer, _ = system.call("POST", "/payments", order, key)
            assert status == 201, answer
            self.paid[key] = Paid(order, answer)
            return key

        @rule(key=keys)
        def repeat(self, key: str) -> None:
            paid = self.paid[key]
            status, answer, headers = system.call("POST", "/payments", paid.order, key)
            assert (status, answer) == (201, paid.answer)
            assert headers["Idempotency-Replayed"] == "true"

        @rule(key=keys)
        def reuse_for_another_amount(self, key: str) -> None:
            order = {**self.paid[key].order, "amount": "77"}
            status, answer, _ = system.call("POST", "/payments", order, key)
            assert (status, answer["code"]) == (422, "idempotency_key_reused")

        @rule(orders=st.lists(ORDERS, min_size=1, max_size=4), data=st.data())
        def create_batch(self, orders: list[dict[str, str]], data: st.DataObject) -> None:
            known = sorted(self.paid)
            items: dict[str, dict[str, str]] = {
                f"key-{len(known) + n}": order for n, order in enumerate(orders)
            }
            if known:
                key = data.draw(st.sampled_from(known))
                items[key] = self.paid[key].order
            body = [{"idempotencyKey": key, **order} for key, order in items.items()]
            status, answer, _ = system.call("POST", "/payments/batch", {"payments": body})
            assert status == 200
            for (key, order), one in zip(items.items(), answer["payments"], strict=True):
                assert one["replayed"] == (key in self.paid)
                self.paid.setdefault(key, Paid(order, one["payment"]))
                assert one["payment"] == self.paid[key].answer

        @rule()
        def work(self) -> None:
            system.work()
            for paid in self.paid.values():
                if paid.status != "pending":
                    continue
                if paid.order["accountId"] == CURES_NOTHING:
                    paid.dead = True
                else:
                    failed = expected_result(paid.amount) == "failed"
                    paid.status = "failed" if failed else "completed"

        def _dead(self) -> list[Paid]:
            return [paid for paid in self.paid.values() if paid.dead]

        def _act(self, data: st.DataObject, action: str) -> Paid:
            paid: Paid = data.draw(st.sampled_from(self._dead()))
            job = system.get(f"/payments/{paid.answer['id']}")["job"]
            body = {"actor": "ann", "reason": "a test"}
            status, answer, _ = system.call("POST", f"/jobs/{job['id']}/{action}", body)
            assert status == 200, answer
            again, problem, _ = system.call("POST", f"/jobs/{job['id']}/{action}", body)
            assert (again, problem["code"]) == (409, "job_not_dead")
            paid.dead = False
            self.actions += 1
            return paid

        @precondition(lambda self: self._dead())
        @rule(data=st.data())
        def discard(self, data: st.DataObject) -> None:
            paid = self._act(data, "discard")
            paid.status = "failed"
            detail = system.get(f"/payments/{paid.answer['id']}")
            assert detail["reconciliation"]["notes"] == "Discarded by ann: a test"

        @precondition(lambda self: self._dead())
        @rule(data=st.data())
        def replay(self, data: st.DataObject) -> None:
            assert self._act(data, "replay").status == "pending"

        @rule(key=keys)
        def read_one(self, key: str) -> None:
            paid = self.paid[key]
            detail = system.get(f"/payments/{paid.answer['id']}")
            assert detail["status"] == paid.status
            assert len(detail["ledgerEntries"]) == (2 if paid.status == "completed" else 0)
            assert (detail["reconciliation"] is None) == (paid.status == "pending")

        @rule(account=st.sampled_from(["a", "b", CURES_NOTHING]), currency=st.sampled_from("UJ"))
        def read_statement(self, account: str, currency: str) -> None:
            currency = {"U": "USD", "J": "JPY"}[currency]
            path = f"/accounts/{account}/entries?currency={currency}&limit=100"
            entries = system.get(path)["entries"][::-1]
            of_account = self._completed(account, currency)
            assert sorted(entry["paymentId"] for entry in entries) == sorted(of_account)
            balance = Decimal(0)
            for seq, entry in enumerate(entries, start=1):
                balance += of_account[entry["paymentId"]]
                assert (entry["accountSeq"], Decimal(entry["balanceAfter"])) == (seq, balance)

        def _completed(self, account: str, currency: str) -> dict[str, Decimal]:
            return {
                paid.answer["id"]: paid.amount
                for paid in self.paid.values()
                if (paid.order["accountId"], paid.order["currency"]) == (account, currency)
                and paid.status == "completed"
            }

        @invariant()
        def balances_agree(self) -> None:
            for account in ("a", "b"):
                for currency, decimals in DECIMALS.items():
                    total = sum(self._completed(account, currency).values(), Decimal(0))
                    answer = system.get(f"/accounts/{account}/balance?currency={currency}")
                    assert answer["balance"] == f"{total:.{decimals}f}"

        @invariant()
        def lists_agree(self) -> None:
            for status in ("pending", "completed", "failed"):
                listed = system.get(f"/payments?status={status}&limit=100")["payments"]
                known = [p.answer["id"] for p in self.paid.values() if p.status == status]
                assert sorted(payment["id"] for payment in listed) == sorted(known)
            assert len(system.get("/jobs?status=failed&limit=100")["jobs"]) == len(self._dead())
            assert len(system.get("/jobs/actions?limit=100")["actions"]) == self.actions

        def teardown(self) -> None:
            async def look() -> None:
                engine = create_engine(system.worker_url, application_name="audit", pool_size=2)
                await assert_audit_is_clean(engine)
                await engine.dispose()

            system.runner.run(look())

    return Payments


def test_the_system_agrees_with_the_model_whatever_happens(migrated_url: str) -> None:
    async def enter(stack: AsyncExitStack) -> tuple[Any, Any]:
        api_url = migrated_url.replace("postgres@", "payments_api@")
        app = create_app(ApiSettings.model_validate({"auth": "off", "DATABASE_URL": api_url}))
        test_app: Any = app.test_app()  # A context manager that its protocol does not name.
        await stack.enter_async_context(test_app)
        sql = await asyncpg.connect(migrated_url)
        await sql.execute(POISON)
        return app.test_client(), sql

    async def leave(stack: AsyncExitStack, sql: Any) -> None:
        await sql.execute("DROP FUNCTION poison() CASCADE")
        await sql.close()
        await stack.aclose()

    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        client, sql = runner.run(enter(stack))
        worker_url = migrated_url.replace("postgres@", "payments_worker@")
        system = System(runner, client, sql, worker_url)
        try:
            run_state_machine_as_test(
                machine_on(system),
                settings=settings(
                    max_examples=12,
                    stateful_step_count=20,
                    # A failing run has twenty steps at most: short enough to read as it is.
                    phases=[Phase.generate],
                    suppress_health_check=[HealthCheck.too_slow],
                ),
            )
        finally:
            runner.run(leave(stack, sql))
