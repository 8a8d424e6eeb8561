"""The API as a process: it starts, stops in order, and reports in one line why it cannot start."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
import httpx
import pytest

from payments_local.ports import free_port
from testkit.database.sql import Sql

BODY = {"accountId": "acc_1", "amount": 1}


async def _launch(*arguments: str, **environ: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "payments_api", *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"LOG_FORMAT": "json", "PAYMENTS_API_AUTH": "off"} | environ,
    )


@asynccontextmanager
async def _running(
    url: str, port: int, **environ: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await _launch("serve", DATABASE_URL=url, PAYMENTS_API_PORT=str(port), **environ)
    try:
        deadline = time.monotonic() + 20
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            while process.returncode is None and time.monotonic() < deadline:
                try:
                    if (await http.get("/readyz")).status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.05)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _pay(http: httpx.AsyncClient, key: str | None = None) -> httpx.Response:
    return await http.post("/payments", json=BODY, headers={"Idempotency-Key": key or str(uuid4())})


async def test_a_taken_port_is_one_line_and_status_1(api_url_of_database: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        process = await _launch(
            "serve",
            DATABASE_URL=api_url_of_database,
            PAYMENTS_API_PORT=port,
        )
        _, said = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 1
    assert said.decode().count("\n") == 1
    assert said.decode().startswith(f"cannot listen on 127.0.0.1:{port}: ")


async def test_the_healthcheck_distinguishes_ready_from_not_ready(api_url_of_database: str) -> None:
    port = free_port()
    async with _running(api_url_of_database, port):
        process = await _launch("healthcheck", PAYMENTS_API_PORT=str(port))
        await process.communicate()
        assert process.returncode == 0
    process = await _launch("healthcheck", PAYMENTS_API_PORT=str(port))
    _, said = await process.communicate()
    assert process.returncode == 1
    assert said.decode().count("\n") == 1


async def test_the_startup_probe_waits_until_the_service_is_ready(api_url_of_database: str) -> None:
    """Its module alone, as the cluster runs it: a failed probe would be a Warning event."""
    port = free_port()

    async def probe(seconds: float) -> asyncio.subprocess.Process:
        environ = {"PAYMENTS_API_HOST": "0.0.0.0", "PAYMENTS_API_CONTROL_PORT": str(port)}
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "payments_core.http.healthcheck", "PAYMENTS_API", str(seconds)),
            env={**os.environ, **environ},
            stderr=asyncio.subprocess.PIPE,
        )

    late = await probe(0.6)
    _, said = await late.communicate()
    assert late.returncode == 1
    assert said.decode().startswith(f"no answer from 127.0.0.1:{port}: ")
    early = await probe(30)
    async with _running(api_url_of_database, port):
        assert await asyncio.wait_for(early.wait(), 20) == 0


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_drops_no_request_of_clients_that_follow_readiness(
    api_url_of_database: str,
    sql: Sql,
    signum: signal.Signals,
) -> None:
    port = free_port()
    delay = {"PAYMENTS_API_SHUTDOWN_DELAY_SECONDS": "2"}
    async with _running(api_url_of_database, port, **delay) as process:
        created: list[str] = []
        ready = True

        async def balance() -> None:
            nonlocal ready
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
                while ready:
                    ready = (await http.get("/readyz")).status_code == 200
                    await asyncio.sleep(0.02)

        async def pay() -> None:
            while ready:
                async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
                    answer = await _pay(http)
                assert answer.status_code == 201
                created.append(answer.json()["id"])

        clients = [asyncio.create_task(work()) for work in (balance, pay, pay, pay)]
        await asyncio.sleep(0.3)
        process.send_signal(signum)
        await asyncio.gather(*clients)
        out, err = await asyncio.wait_for(process.communicate(), 15)
    assert process.returncode == 0
    assert err == b""
    assert b"Traceback" not in out
    rows = await sql.fetch("SELECT id::text FROM payments")
    assert {row[0] for row in rows} == set(created)
    assert created


async def test_readiness_fails_first_while_requests_are_still_accepted(
    api_url_of_database: str,
) -> None:
    port = free_port()
    delay = {"PAYMENTS_API_SHUTDOWN_DELAY_SECONDS": "5"}
    async with _running(api_url_of_database, port, **delay) as process:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            process.terminate()
            deadline = time.monotonic() + 5
            while (await http.get("/readyz")).status_code == 200:
                assert time.monotonic() < deadline
            assert (await _pay(http)).status_code == 201
            assert (await http.get("/livez")).status_code == 200
        await asyncio.wait_for(process.wait(), 20)
    assert process.returncode == 0


async def test_an_endless_request_does_not_prevent_the_stop(
    api_url_of_database: str,
    database_url: str,
    sql: Sql,
) -> None:
    port = free_port()
    drain = {"PAYMENTS_API_DRAIN_SECONDS": "0.5"}
    blocker = await asyncpg.connect(database_url)
    await blocker.execute("BEGIN; LOCK TABLE payments")
    async with (
        _running(api_url_of_database, port, **drain) as process,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
    ):
        paying = asyncio.create_task(_pay(http))
        await asyncio.sleep(0.3)
        process.terminate()
        await asyncio.wait_for(process.wait(), 15)
        await asyncio.gather(paying, return_exceptions=True)
    await blocker.close()
    assert process.returncode == 0


async def test_processes_with_reuse_port_share_a_port(api_url_of_database: str) -> None:
    port = free_port()
    shared = {"PAYMENTS_API_REUSE_PORT": "true"}

    async def starts_at() -> str:
        # One connection per request, because the kernel distributes connections.
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            lines = (await http.get("/metrics")).text.splitlines()
        return next(line for line in lines if line.startswith("process_start_time_seconds "))

    async with (
        _running(api_url_of_database, port, **shared),
        _running(api_url_of_database, port, **shared),
    ):
        answering: set[str] = set()
        async with asyncio.timeout(20):
            while len(answering) < 2:
                answering.add(await starts_at())
