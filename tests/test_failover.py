"""A failover or switchover of Postgres: payments are created and settled again at once."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import asyncpg
from quart.typing import TestClientProtocol

from payments_api.app import create_app
from payments_api.settings import ApiSettings
from payments_local.postgres import EmbeddedPostgres
from testkit.database.servers.standby import Pair, fail_over
from testkit.waiting import until
from testkit.worker.own_system import running_worker

BACK_WITHIN_SECONDS = 5.0


@asynccontextmanager
async def _system(pair: Pair) -> AsyncIterator[TestClientProtocol]:
    """Run the API and a worker, both at the movable address."""
    settings = ApiSettings.model_validate(
        {"auth": "off", "DATABASE_URL": pair.url("payments_api"), "cursor_key": "k" * 32}
    )
    app = create_app(settings)
    async with app.test_app(), running_worker(pair.url("payments_worker")):
        yield app.test_client()


async def _create(client: TestClientProtocol) -> tuple[int, dict[str, Any]]:
    body = {"accountId": "acc_1", "amount": "1.00"}
    answer = await client.post("/payments", json=body, headers={"Idempotency-Key": str(uuid4())})
    return answer.status_code, await answer.get_json()


async def _status(client: TestClientProtocol, path: str) -> int:
    return (await client.get(path)).status_code


async def _created_and_settled(client: TestClientProtocol) -> None:
    """Create payments until one is taken, and wait until that one is settled."""
    status, payment = await _create(client)
    while status != 201:
        assert status == 503, payment
        await asyncio.sleep(0.05)
        status, payment = await _create(client)

    async def settled() -> bool:
        answer = await client.get(f"/payments/{payment['id']}")
        assert answer.status_code in (200, 503), await answer.get_data()
        return answer.status_code == 200 and (await answer.get_json())["status"] == "completed"

    await until(settled)


async def _is_back(client: TestClientProtocol, pair: Pair, server: EmbeddedPostgres) -> None:
    """Assert that the system works on this server in time, without another rejection."""
    began = time.monotonic()
    async with asyncio.timeout(BACK_WITHIN_SECONDS):
        await _created_and_settled(client)
    for _ in range(40):  # More than either pool has sessions.
        assert (await _create(client))[0] == 201
    assert await _status(client, "/readyz") == 200
    sql = await asyncpg.connect(server.url)
    assert await sql.fetchval("SELECT count(*) FROM payments") >= 41
    await sql.close()
    assert time.monotonic() - began < BACK_WITHIN_SECONDS * 2


async def _use_all_sessions(client: TestClientProtocol) -> None:
    """Fill both pools, so that none of their sessions is opened later."""
    reads = [_status(client, "/payments") for _ in range(30)]
    creates = [_create(client) for _ in range(30)]
    await asyncio.gather(*reads, *creates)


def test_the_system_works_again_within_5_s_of_a_failover() -> None:
    async def scenario(pair: Pair) -> None:
        async with _system(pair) as client:
            await _use_all_sessions(client)
            await _created_and_settled(client)
            await pair.until_caught_up()
            pair.primary.crash()
            pair.move_address_to(pair.standby)
            # The address moves before the promotion, so requests are rejected at first.
            for _ in range(5):
                assert (await _create(client))[0] == 503
            assert await _status(client, "/readyz") == 503
            await pair.promote()
            await _is_back(client, pair, pair.standby)

    fail_over(scenario)


def test_sessions_connected_to_a_standby_are_not_reused() -> None:
    async def scenario(pair: Pair) -> None:
        async with _system(pair) as client:
            await _created_and_settled(client)
            pair.move_address_to(pair.standby)  # Simulates a mistake: the standby is not promoted.

            async def refused() -> bool:
                return await _status(client, "/readyz") == 503

            await until(refused, 5)
            await asyncio.gather(*(_create(client) for _ in range(30)))
            assert await _status(client, "/payments") == 503, "a standby's rows may be old"
            pair.move_address_to(pair.primary, keep_sessions=True)
            await _is_back(client, pair, pair.primary)

    fail_over(scenario)


def test_sessions_connected_to_a_demoted_primary_are_not_reused() -> None:
    async def scenario(pair: Pair) -> None:
        async with _system(pair) as client:
            await _use_all_sessions(client)
            await _created_and_settled(client)
            # As in managed services: the old primary is fenced, and its sessions stay open.
            sql = await asyncpg.connect(pair.primary.url)
            await sql.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            await sql.execute("SELECT pg_reload_conf()")
            await sql.close()
            await pair.until_caught_up()
            assert (await _create(client))[0] == 503
            await pair.promote()
            pair.move_address_to(pair.standby, keep_sessions=True)
            await _is_back(client, pair, pair.standby)

    fail_over(scenario)
