"""The API's probes and metrics: liveness, readiness, state."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from quart.typing import TestClientProtocol

from payments_api.app import create_app
from payments_api.migrate import head_revision
from payments_api.settings import ApiSettings
from payments_core.server.options import Lifecycle
from testkit.database.sql import Sql

NOWHERE = ApiSettings.model_validate(
    {"auth": "off", "DATABASE_URL": "postgresql://x@127.0.0.1:1/payments"}
)


async def test_a_running_api_is_healthy_alive_and_ready(client: TestClientProtocol) -> None:
    for address, status in (("/health", "ok"), ("/livez", "ok"), ("/readyz", "ready")):
        answer = await client.get(address)
        assert answer.status_code == 200
        assert await answer.get_json() == {"status": status}


async def test_without_its_database_the_api_is_alive_and_not_ready() -> None:
    client = create_app(NOWHERE).test_client()
    for address in ("/health", "/livez", "/metrics", "/openapi.json"):
        assert (await client.get(address)).status_code == 200
    answer = await client.get("/readyz")
    body = await answer.get_json()
    assert (answer.status_code, body["code"]) == (503, "not_ready")
    assert answer.content_type == "application/problem+json"
    assert body["detail"].startswith("The database does not answer")


@asynccontextmanager
async def _schema_at(sql: Sql, revision: str | None) -> AsyncIterator[None]:
    await sql.execute("DELETE FROM alembic_version")
    try:
        if revision is not None:
            await sql.execute("INSERT INTO alembic_version VALUES ($1)", revision)
        yield
    finally:
        await sql.execute("DELETE FROM alembic_version")
        await sql.execute("INSERT INTO alembic_version VALUES ($1)", head_revision())


@pytest.mark.parametrize("found", ["0001", None])
async def test_an_older_schema_than_the_releases_is_not_ready(
    client: TestClientProtocol, sql: Sql, found: str | None
) -> None:
    async with _schema_at(sql, found):
        answer = await client.get("/readyz")
        body = await answer.get_json()
        assert (answer.status_code, body["code"]) == (503, "not_ready")
        assert body["detail"].startswith(f"The schema is at {found}, this release needs")
        assert (await client.get("/livez")).status_code == 200
    assert (await client.get("/readyz")).status_code == 200


async def test_a_newer_releases_schema_leaves_no_gap_in_a_rollout(
    client: TestClientProtocol, sql: Sql
) -> None:
    async with _schema_at(sql, "9999"):
        assert (await client.get("/readyz")).status_code == 200


async def test_a_stopping_api_is_alive_and_not_ready(api_url_of_database: str) -> None:
    lifecycle = Lifecycle()
    settings = ApiSettings.model_validate({"auth": "off", "DATABASE_URL": api_url_of_database})
    async with create_app(settings, lifecycle).test_app() as app:
        client = app.test_client()
        assert (await client.get("/readyz")).status_code == 200
        lifecycle.stopping.set()
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/livez")).status_code == 200
        # Requests that still arrive are answered.
        assert (await client.get("/payments")).status_code == 200


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("*/*", "text/plain"),
        ("text/html", "text/plain"),
        ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text"),
    ],
)
async def test_metrics_have_the_requested_format(
    client: TestClientProtocol, accept: str, content_type: str
) -> None:
    answer = await client.get("/metrics", headers={"Accept": accept})
    text = await answer.get_data(as_text=True)
    assert answer.status_code == 200
    assert answer.content_type.startswith(content_type)
    assert "process_cpu_seconds_total" in text
    assert text.endswith("# EOF\n") == ("openmetrics" in content_type)
