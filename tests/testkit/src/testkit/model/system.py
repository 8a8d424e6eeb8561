"""The system under the model: an API, a worker, Postgres, and a loop to run them on."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import asyncpg
from quart.typing import TestClientProtocol

from payments_api.app import create_app
from payments_api.settings import ApiSettings
from payments_core.db.engine import create_engine
from testkit.database.sql import Sql
from testkit.model.ledger import assert_audit_is_clean
from testkit.waiting import until
from testkit.worker.own_system import running_worker

POISON = (
    "poison"  # The worker cannot settle payments of this account, nor reversals with this reason.
)
POISONED = f"""
DROP FUNCTION IF EXISTS poison() CASCADE;
CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'poisoned'; END $$;
CREATE TRIGGER poison BEFORE UPDATE ON payments FOR EACH ROW
WHEN (NEW.account_id = '{POISON}' AND current_user = 'payments_worker') EXECUTE FUNCTION poison();
CREATE TRIGGER poison BEFORE UPDATE ON reversals FOR EACH ROW
WHEN (NEW.reason = '{POISON}' AND current_user = 'payments_worker') EXECUTE FUNCTION poison()"""
EMPTY = """
SET session_replication_role = replica;
TRUNCATE payments, reversals, reversal_totals, recon_jobs, job_deaths,
    reconciliation_results, accounts, ledger_entries, ledger_seals,
    operator_actions
RESTART IDENTITY;
SET session_replication_role = DEFAULT"""
CLEARING = """
SELECT account_id, currency, balance FROM accounts WHERE account_id LIKE 'sys:clearing:%'"""


@dataclass
class System:
    """The app, its database, and a loop to run them on."""

    runner: asyncio.Runner
    client: TestClientProtocol
    sql: Sql
    worker_url: str

    def call(self, method: str, path: str, body: Any = None, key: str | None = None) -> Any:
        """Return (status, parsed answer, headers) of one request."""
        return self.runner.run(self._send(method, path, body, key))

    def post_at_once(self, path: str, bodies: Mapping[str, Any]) -> list[Any]:
        """Return the answers to concurrent requests, one for each key and body."""

        async def send_all() -> list[Any]:
            requests = (self._send("POST", path, body, key) for key, body in bodies.items())
            return await asyncio.gather(*requests)

        return self.runner.run(send_all())

    async def _send(self, method: str, path: str, body: Any, key: str | None) -> Any:
        headers = {"Idempotency-Key": key} if key else {}
        response = await self.client.open(path, method=method, json=body, headers=headers)
        return response.status_code, json.loads(await response.get_data()), response.headers

    def get(self, path: str) -> Any:
        """Return the answer to a GET that must succeed."""
        status, answer, _ = self.call("GET", path)
        assert status == 200, answer
        return answer

    def empty(self) -> None:
        """Delete all payments with their jobs, results and entries."""
        self.runner.run(self.sql.execute(EMPTY))

    def work(self, workers: int) -> None:
        """Let workers run until no job is left. A failing job has one attempt."""

        async def idle() -> bool:
            unfinished = "status IN ('pending', 'processing')"
            query = f"SELECT count(*) FROM recon_jobs WHERE {unfinished}"
            return not await self.sql.fetchval(query)

        async def run() -> None:
            await self.sql.execute("UPDATE recon_jobs SET max_attempts = 1")
            async with AsyncExitStack() as stack:
                for _ in range(workers):
                    worker = running_worker(self.worker_url, poll_only=True, batch_size=3)
                    await stack.enter_async_context(worker)
                await until(idle)

        self.runner.run(run())

    def clearing_balances(self) -> dict[tuple[str, str], Decimal]:
        """Return the sum of the shards of each source's clearing account, by source, currency."""
        sums: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
        for account_id, currency, balance in self.runner.run(self.sql.fetch(CLEARING)):
            source = account_id.removeprefix("sys:clearing:").rpartition(":")[0] or "default"
            sums[source, currency] += balance
        return sums

    def assert_audited(self) -> None:
        """Check every invariant and seal."""

        async def look() -> None:
            engine = create_engine(self.worker_url, application_name="audit", pool_size=2)
            await assert_audit_is_clean(engine)
            await engine.dispose()

        self.runner.run(look())


@contextmanager
def driven_system(url: str) -> Iterator[System]:
    """Run the API on a migrated database in which postings of POISON fail."""
    api_url, worker_url = (url.replace("postgres@", f"payments_{x}@") for x in ("api", "worker"))
    app = create_app(ApiSettings.model_validate({"auth": "off", "DATABASE_URL": api_url}))

    async def enter(stack: AsyncExitStack) -> Sql:
        test_app: Any = (
            app.test_app()
        )  # It is a context manager, which its protocol does not declare.
        await stack.enter_async_context(test_app)
        sql = await asyncpg.connect(url)
        stack.push_async_callback(sql.close)
        await sql.execute(POISONED)
        stack.push_async_callback(sql.execute, "DROP FUNCTION poison() CASCADE")
        return sql

    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        try:
            yield System(runner, app.test_client(), runner.run(enter(stack)), worker_url)
        finally:
            runner.run(stack.aclose())
