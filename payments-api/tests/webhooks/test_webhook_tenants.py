"""Webhooks of tenants: each manages its own, within its number and its scopes."""

from collections.abc import Awaitable, Callable

from payments_api.auth.caller import SCOPES, WEBHOOKS_READ
from payments_core.domain.webhooks import ENDPOINTS_MAX
from testkit.database.sql import Sql

from .conftest import URL, Client, created


async def test_a_tenant_manages_its_own_endpoints_alone(
    party: Callable[..., Awaitable[Client]], sql: Sql
) -> None:
    acme, blue, house = [await party(tenant) for tenant in ("acme", "blue", None)]
    mine, everyones = await created(acme), await created(house)
    assert mine["tenant"] is None, "a tenant's key does not learn the tenant's name"
    _, delivery = await acme("POST", f"/webhooks/{mine['id']}/test", {})
    of_house = await house("POST", f"/webhooks/{everyones['id']}/test", {})
    stored = await sql.fetch("SELECT tenant FROM webhook_endpoints ORDER BY id")
    assert [row["tenant"] for row in stored] == ["acme", None]
    assert (await blue("GET", "/webhooks"))[1]["webhooks"] == []
    assert len((await acme("GET", "/webhooks"))[1]["webhooks"]) == 1
    assert len((await house("GET", "/webhooks"))[1]["webhooks"]) == 2
    assert (await house("GET", f"/webhooks/{mine['id']}"))[1]["tenant"] == "acme"
    before = await sql.fetch("SELECT * FROM webhook_endpoints ORDER BY id")
    for stranger, webhook, sent in (
        (blue, mine, delivery),
        (blue, everyones, of_house[1]),
        (acme, everyones, of_house[1]),
    ):
        one, of_it = f"/webhooks/{webhook['id']}", f"/webhook-deliveries/{sent['id']}"
        for method, path, body in (
            ("GET", one, None),
            ("PATCH", one, {"enabled": False}),
            ("PATCH", one, {"url": "https://evil.example.com/"}),
            ("DELETE", one, None),
            ("POST", f"{one}/secret", {}),
            ("POST", f"{one}/test", {}),
            ("POST", f"{one}/resend", {"since": "2026-01-31T12:00:00Z"}),
            ("GET", f"{one}/deliveries", None),
            ("GET", of_it, None),
            ("POST", f"{of_it}/resend", {}),
        ):
            status, problem = await stranger(method, path, body)
            assert status == 404, (method, path)
            unknown = problem["code"]
            assert unknown == (
                "delivery_not_found" if path.startswith(of_it) else "webhook_not_found"
            )
    assert await sql.fetch("SELECT * FROM webhook_endpoints ORDER BY id") == before
    assert await sql.fetchval("SELECT count(*) FROM webhook_deliveries") == 2


async def test_only_a_key_without_a_tenant_names_one(
    party: Callable[..., Awaitable[Client]],
) -> None:
    acme, blue, house = [await party(tenant) for tenant in ("acme", "blue", None)]
    for tenant in ("acme", "blue"):
        status, problem = await acme("POST", "/webhooks", {"url": URL, "tenant": tenant})
        assert (status, problem["errors"][0]["field"]) == (422, "tenant")
    webhook = await created(house, tenant="acme")
    assert webhook["tenant"] == "acme"
    assert (await acme("GET", f"/webhooks/{webhook['id']}"))[0] == 200
    assert (await blue("GET", f"/webhooks/{webhook['id']}"))[0] == 404


async def test_a_tenants_cursor_is_its_own(party: Callable[..., Awaitable[Client]]) -> None:
    acme, blue = await party("acme"), await party("blue")
    for _ in range(2):
        await created(acme)
    cursor = (await acme("GET", "/webhooks?limit=1"))[1]["nextCursor"]
    status, problem = await blue("GET", f"/webhooks?cursor={cursor}")
    assert (status, problem["code"]) == (400, "invalid_cursor")


async def test_reading_does_not_permit_writing(party: Callable[..., Awaitable[Client]]) -> None:
    writer, reader = await party(None), await party(None, WEBHOOKS_READ)
    webhook = await created(writer)
    one = f"/webhooks/{webhook['id']}"
    assert (await reader("GET", one))[0] == 200
    for method, path, body in (
        ("POST", "/webhooks", {"url": URL}),
        ("PATCH", one, {"enabled": False}),
        ("DELETE", one, None),
        ("POST", f"{one}/secret", {}),
        ("POST", f"{one}/test", {}),
        ("POST", f"{one}/resend", {"since": "2026-01-31T12:00:00Z"}),
    ):
        status, problem = await reader(method, path, body)
        assert (status, problem["code"]) == (403, "forbidden"), (method, path)
    other = await party(None, *(scope for scope in SCOPES if "webhooks" not in scope))
    assert (await other("GET", "/webhooks"))[0] == 403


async def test_a_tenant_has_a_bounded_number_of_endpoints(
    party: Callable[..., Awaitable[Client]],
) -> None:
    acme, blue = await party("acme"), await party("blue")
    for _ in range(ENDPOINTS_MAX):
        await created(acme)
    status, problem = await acme("POST", "/webhooks", {"url": URL})
    assert (status, problem["code"]) == (409, "too_many_webhooks")
    await created(blue)
