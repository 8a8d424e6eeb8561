"""After a restart of Postgres the first requests succeed."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import yaml
from quart import Quart
from quart.typing import TestClientProtocol

from payments_api.app import create_app
from payments_api.settings import ApiSettings
from payments_local.postgres import EmbeddedPostgres
from testkit.database.sql import Sql
from testkit.worker.own_system import migrated_postgres

OPERATOR = {"Payments-Operator": "ann"}
MANIFEST = Path(__file__).parents[2] / "deploy/k8s/base/payments-api.yaml"
[CONTAINER] = next(
    item["spec"]["template"]["spec"]["containers"]
    for item in yaml.safe_load_all(MANIFEST.read_text())
    if item["kind"] == "Deployment"
)
# Kubernetes' probe → path. The startup probe's command asks until it is answered, or 50 s.
HEALTHCHECK = ["python", "-m", "payments_core.http.healthcheck", "PAYMENTS_API", "50"]
PROBES = {
    "startupProbe": "/readyz",
    **{name: CONTAINER[name]["httpGet"]["path"] for name in ("livenessProbe", "readinessProbe")},
}


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[EmbeddedPostgres]:
    with migrated_postgres() as server:
        yield server


@pytest.fixture
async def own_app(own_postgres: EmbeddedPostgres) -> AsyncIterator[Quart]:
    url = own_postgres.url.replace("postgres@", "payments_api@")
    app = create_app(ApiSettings.model_validate({"auth": "off", "DATABASE_URL": url}))
    async with app.test_app():
        yield app


async def _create(client: TestClientProtocol, **headers: str) -> Any:
    body = {"accountId": "acc_1", "amount": "1.00"}
    key = {"Idempotency-Key": str(uuid4())}
    return await client.post("/payments", json=body, headers={**key, **headers})


async def _use_all_sessions(client: TestClientProtocol) -> None:
    await asyncio.gather(*(client.get("/payments") for _ in range(30)))
    await asyncio.gather(*(_create(client) for _ in range(30)))


@pytest.mark.parametrize("end", ["stop", "crash"])
async def test_the_first_requests_after_a_restart_are_answered(
    own_postgres: EmbeddedPostgres, own_app: Quart, end: str
) -> None:
    client = own_app.test_client()
    await _use_all_sessions(client)
    getattr(own_postgres, end)()
    own_postgres.start()
    reads = [client.get(path) for path in ("/payments", "/jobs", "/accounts/acc_1/balance") * 5]
    creates = [_create(client), _create(client, **OPERATOR)]
    answers = await asyncio.gather(*reads, *creates, client.get("/readyz"))
    assert {answer.status_code for answer in answers} == {200, 201}


@asynccontextmanager
async def _connected(server: EmbeddedPostgres) -> AsyncIterator[Sql]:
    sql = await asyncpg.connect(server.url)
    try:
        yield sql
    finally:
        await sql.close(timeout=1)


async def _until_waiting(sql: Sql) -> int:
    """Return the pid of the backend that waits for the test's lock."""
    async with asyncio.timeout(5):
        while True:
            pid: int | None = await sql.fetchval(
                "SELECT pid FROM pg_stat_activity"
                " WHERE wait_event_type = 'Lock' AND application_name = 'payments-api'"
            )
            if pid is not None:
                return pid
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("what", ["read", "create", "create by an operator"])
async def test_a_session_lost_during_a_request_causes_no_503(
    own_postgres: EmbeddedPostgres, own_app: Quart, what: str
) -> None:
    client = own_app.test_client()
    ask = {
        "read": lambda: client.get("/payments"),
        "create": lambda: _create(client),
        "create by an operator": lambda: _create(client, **OPERATOR),
    }[what]
    async with _connected(own_postgres) as sql, _connected(own_postgres) as locker:
        stored = await sql.fetchval("SELECT count(*) FROM payments")
        async with locker.transaction():
            await locker.execute("LOCK TABLE payments IN ACCESS EXCLUSIVE MODE")
            asking = asyncio.create_task(ask())  # type: ignore[no-untyped-call]  # A lambda.
            await sql.execute("SELECT pg_terminate_backend($1, 1000)", await _until_waiting(sql))
            await _until_waiting(sql)
        answer = await asking
        assert answer.status_code == (200 if what == "read" else 201)
        assert "Idempotency-Replayed" not in answer.headers
        made = await sql.fetchval("SELECT count(*) FROM payments") - stored
        assert made == (0 if what == "read" else 1)


async def test_a_database_that_a_restore_renames_gives_503_meanwhile(
    own_postgres: EmbeddedPostgres, own_app: Quart
) -> None:
    client = own_app.test_client()
    await _use_all_sessions(client)
    sql = await asyncpg.connect(own_postgres.url.replace("/payments", "/postgres"))
    await sql.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'payments'"
    )
    await sql.execute("ALTER DATABASE payments RENAME TO payments_renamed")
    try:
        answers = [await client.get("/payments"), await _create(client)]
        assert [answer.status_code for answer in answers] == [503, 503]
    finally:
        await sql.execute("ALTER DATABASE payments_renamed RENAME TO payments")
        await sql.close()
    assert (await _create(client)).status_code == 201


async def test_a_lasting_outage_gives_503(own_postgres: EmbeddedPostgres, own_app: Quart) -> None:
    client = own_app.test_client()
    await _use_all_sessions(client)
    own_postgres.stop()
    try:
        answers = [await client.get("/payments"), await _create(client)]
        answers.append(await _create(client, **OPERATOR))
        assert [answer.status_code for answer in answers] == [503, 503, 503]
        assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers)
        # Kubernetes keeps sending requests to it, so these answers matter.
        probes = {name: (await client.get(path)).status_code for name, path in PROBES.items()}
        assert CONTAINER["startupProbe"]["exec"]["command"] == HEALTHCHECK
        assert probes == {"startupProbe": 503, "livenessProbe": 200, "readinessProbe": 200}
    finally:
        own_postgres.start()
