"""Webhooks over HTTP: endpoints, secrets, deliveries; each tenant manages its own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from quart import Quart
from quart.typing import TestClientProtocol

from payments_api.auth.caller import SCOPES, WEBHOOKS_READ, WEBHOOKS_WRITE
from payments_api.auth.keys import KeyGrant, add_key, new_key
from payments_core.db.engine import create_engine, transaction
from payments_core.domain.webhooks import ENDPOINTS_MAX, SUBSCRIBABLE_TYPES, TESTS_PER_HOUR_MAX
from testkit.database.backlog import Sql
from testkit.paging import read_both_ways

URL = "https://hooks.example.com/in"
ATTEMPT = (
    "INSERT INTO webhook_attempts (delivery_id, number, duration_seconds, status_code, answer)"
    " SELECT $1, n, 0.25, 500, 'no' FROM generate_series(1, $2::int) AS n"
)
FAILED = "UPDATE webhook_deliveries SET status = 'failed', finished_at = now()"

Client = Callable[..., Awaitable[tuple[int, Any]]]


def calling(client: TestClientProtocol, **headers: str) -> Client:
    """Return a function that sends a request and returns the answer's status and JSON."""

    async def call(method: str, path: str, json: Any = None) -> tuple[int, Any]:
        answer = await client.open(path, method=method, json=json, headers=headers)
        assert answer.headers["Cache-Control"] == "no-store"
        return answer.status_code, await answer.get_json() if answer.content_type else None

    return call


@pytest.fixture
def call(client: TestClientProtocol) -> Client:
    """The API with authentication off."""
    return calling(client)


@pytest.fixture
async def party(kept: Quart, database_url: str) -> AsyncIterator[Callable[..., Awaitable[Client]]]:
    """`await party(tenant, *scopes)`: a client with a fresh key."""
    engine = create_engine(database_url, application_name="test", pool_size=1)

    async def make(tenant: str | None, *scopes: str) -> Client:
        key, granted = new_key(), frozenset(scopes or (WEBHOOKS_READ, WEBHOOKS_WRITE))
        async with transaction(engine) as tx:
            await add_key(tx, key, KeyGrant("of a test", granted, tenant))
        return calling(kept.test_client(), Authorization=f"Bearer {key}")

    yield make
    await engine.dispose()


async def created(call: Client, **fields: Any) -> Any:
    status, webhook = await call("POST", "/webhooks", {"url": URL, **fields})
    assert status == 201, webhook
    return webhook


async def test_a_secret_is_shown_at_creation_and_rotation_alone(
    call: Client, client: TestClientProtocol
) -> None:
    answer = await client.post(
        "/webhooks", json={"url": URL, "types": ["payment.failed"], "description": "Shop"}
    )
    webhook = await answer.get_json()
    address = f"/webhooks/{webhook['id']}"
    assert (answer.status_code, answer.headers["Location"]) == (201, address)
    assert answer.headers["Cache-Control"] == "no-store"
    first = webhook.pop("secret")
    assert first.startswith("whsec_")
    assert (webhook["url"], webhook["types"], webhook["enabled"]) == (URL, ["payment.failed"], True)
    assert await call("GET", address) == (200, webhook)
    assert (await call("GET", "/webhooks"))[1]["webhooks"] == [webhook]
    status, rotated = await call("POST", f"{address}/secret", {"graceHours": 1})
    assert status == 200
    second = rotated.pop("secret")
    assert second.startswith("whsec_")
    assert second != first
    assert rotated["previousSecretExpiresAt"] is not None
    for path in (address, "/webhooks", "/operator-actions"):
        text = str((await call("GET", path))[1])
        assert "whsec_" not in text
        assert first[6:] not in text
        assert second[6:] not in text


async def test_an_endpoint_is_changed_disabled_enabled_and_deleted(call: Client) -> None:
    webhook = await created(call, description="Shop", types=["payment.failed"])
    address = f"/webhooks/{webhook['id']}"
    status, changed = await call("PATCH", address, {"url": f"{URL}/2"})
    assert status == 200
    assert (changed["url"], changed["description"], changed["types"]) == (
        *(f"{URL}/2", "Shop", ["payment.failed"]),
    )
    status, disabled = await call("PATCH", address, {"enabled": False, "types": []})
    assert (disabled["enabled"], disabled["disabledReason"], disabled["types"]) == (
        *(False, "operator", []),
    )
    status, problem = await call("POST", f"{address}/test", {})
    assert (status, problem["code"]) == (409, "webhook_disabled")
    status, problem = await call("POST", f"{address}/resend", {"since": "2026-01-31T12:00:00Z"})
    assert (status, problem["code"]) == (409, "webhook_disabled")
    assert (await call("PATCH", address, {"enabled": True}))[1]["enabled"] is True
    assert (await call("PATCH", address, {}))[0] == 200
    assert await call("DELETE", address) == (204, None)
    for method, path, body in (
        ("GET", address, None),
        ("PATCH", address, {}),
        ("DELETE", address, None),
        ("POST", f"{address}/secret", {}),
        ("POST", f"{address}/test", {}),
        ("GET", f"{address}/deliveries", None),
    ):
        status, problem = await call(method, path, body)
        assert (status, problem["code"]) == (404, "webhook_not_found"), (method, path)
    assert (await call("GET", "/webhooks"))[1]["webhooks"] == []


async def test_every_change_is_on_record_with_its_subject(client: TestClientProtocol) -> None:
    call = calling(client, **{"Payments-Operator": "ada%40example.com"})
    webhook = await created(call)
    address = f"/webhooks/{webhook['id']}"
    _, delivery = await call("POST", f"{address}/test", {})
    await call("POST", f"/webhook-deliveries/{delivery['id']}/resend", {})
    await call("POST", f"{address}/resend", {"since": "2026-01-31T12:00:00Z"})
    await call("POST", f"{address}/secret", {})
    await call("PATCH", address, {"enabled": False})
    await call("DELETE", address)
    _, page = await call("GET", "/operator-actions")
    assert [each["action"] for each in reversed(page["actions"])] == [
        *("create_webhook", "test_webhook", "resend_webhook", "resend_webhook"),
        *("rotate_webhook", "change_webhook", "delete_webhook"),
    ]
    for each in page["actions"]:
        assert each["subject"] == f"webhook {webhook['id']}"
        assert each["actor"] == "ada@example.com"


async def test_a_delivery_is_shown_with_its_body_and_attempts_and_sent_again(
    call: Client, client: TestClientProtocol, sql: Sql
) -> None:
    webhook = await created(call)
    address = f"/webhooks/{webhook['id']}"
    answer = await client.post(f"{address}/test", json={})
    sent = await answer.get_json()
    path = f"/webhook-deliveries/{sent['id']}"
    assert (answer.status_code, answer.headers["Location"]) == (202, path)
    assert (sent["type"], sent["status"], sent["attempts"]) == ("webhook.test", "pending", 0)
    await sql.execute(ATTEMPT, sent["id"], 103)
    await sql.execute(f"{FAILED}, attempts = 103")
    status, delivery = await call("GET", path)
    assert status == 200
    assert f'"id":"{sent["eventId"]}"' in delivery["body"]
    assert (delivery["statusCode"], delivery["durationSeconds"]) == (500, 0.25)
    log = delivery.pop("attemptLog")
    assert [attempt["number"] for attempt in log] == list(range(4, 104))
    assert log[0]["answer"] == "no"
    failed = await call("GET", f"{address}/deliveries?status=failed")
    assert [each["id"] for each in failed[1]["deliveries"]] == [sent["id"]]
    assert (await call("GET", f"{address}/deliveries?status=pending"))[1]["deliveries"] == []
    status, again = await call("POST", f"{path}/resend", {})
    assert (status, again["status"], again["eventId"]) == (202, "pending", sent["eventId"])
    await sql.execute(FAILED)
    since = {"since": "2026-01-31T12:00:00+01:00"}
    assert await call("POST", f"{address}/resend", since) == (200, {"resent": 1})
    assert await call("POST", f"{address}/resend", since) == (200, {"resent": 0})
    for unknown in (str(uuid4()), "nonsense"):
        for method, tail, body in (("GET", "", None), ("POST", "/resend", {})):
            status, problem = await call(method, f"/webhook-deliveries/{unknown}{tail}", body)
            assert (status, problem["code"]) == (404, "delivery_not_found")


async def test_lists_are_paged_both_ways_and_cursors_bound_to_their_list(call: Client) -> None:
    first, _, third = [await created(call, description=f"{n}") for n in range(3)]
    for _ in range(3):
        await call("POST", f"/webhooks/{first['id']}/test", {})

    async def webhooks_at(at: str) -> Any:
        return (await call("GET", f"/webhooks?limit=2{at}"))[1]

    async def deliveries_at(at: str) -> Any:
        return (await call("GET", f"/webhooks/{first['id']}/deliveries?limit=2{at}"))[1]

    listed = await read_both_ways(webhooks_at, "webhooks")
    assert [each["description"] for each in listed] == ["2", "1", "0"]
    assert len(await read_both_ways(deliveries_at, "deliveries")) == 3
    cursor = (await deliveries_at(""))["nextCursor"]
    for other in (f"/webhooks/{third['id']}/deliveries?cursor=", "/webhooks?cursor="):
        status, problem = await call("GET", other + cursor)
        assert (status, problem["code"]) == (400, "invalid_cursor")


LONG_NAME = "a" * 64
REFUSED_URLS = [
    ("", "visible ASCII"),
    ("hooks.example.com", "must begin with https://"),
    ("http://hooks.example.com/", "must begin with https://"),
    ("ftp://hooks.example.com/", "must begin with https://"),
    ("javascript:alert(1)", "must begin with https://"),
    ("https://", "must name a host"),
    ("https://ann:secret@hooks.example.com/", "must not hold a user name or password"),
    ("https://ann@hooks.example.com/", "must not hold a user name or password"),
    ("https://hooks.example.com/#part", "must not have a fragment"),
    ("https://hooks.example.com:8443/", "must use port 443"),
    ("https://hooks.example.com:99999/", "is not a URL"),
    ("https://10.0.0.1/", "private network"),
    ("https://127.0.0.1/", "private network"),
    ("https://169.254.169.254/latest/meta-data", "private network"),
    ("https://[::1]/", "private network"),
    ("https://[::ffff:10.0.0.1]/", "private network"),
    ("https://[fe80::1%25eth0]/", "private network"),
    ("https://2130706433/", "four decimal numbers"),
    ("https://0x7f.1/", "four decimal numbers"),
    ("https://0177.0.0.1/", "four decimal numbers"),
    ("https://localhost/", "must name a host on the internet"),
    ("https://payments-api/", "must name a host on the internet"),
    (f"https://{LONG_NAME}.example.com/", "must name a host on the internet"),
    (f"https://hooks.example.com/{'x' * 2000}", "1 to 2000 visible ASCII"),
    ("https://h\u00f6\u00f6ks.example.com/", "visible ASCII"),
    ("https://hooks.example.com/\u2028", "visible ASCII"),
    ("https://hooks.example.com/ a", "visible ASCII"),
    ("https://hooks.example.com\\@10.0.0.1/", "visible ASCII"),
    ("https://hooks.example.com/\r\nX-Evil: 1", "visible ASCII"),
]


@pytest.mark.parametrize(("url", "problem"), REFUSED_URLS, ids=lambda text: text[:40])
async def test_a_dangerous_url_is_refused_with_its_problem(
    party: Callable[..., Awaitable[Client]], sql: Sql, url: str, problem: str
) -> None:
    call = await party(None)
    status, answer = await call("POST", "/webhooks", {"url": url})
    assert (status, answer["code"]) == (422, "validation_error")
    [error] = answer["errors"]
    assert error["field"] == "url"
    assert problem in error["detail"]
    assert await sql.fetchval("SELECT count(*) FROM webhook_endpoints") == 0


REFUSED_BODIES = [
    ({}, "url"),
    ({"url": None}, "url"),
    ({"url": 7}, "url"),
    ({"url": URL, "types": "payment.failed"}, "types"),
    ({"url": URL, "types": ["payment.made"]}, "types.0"),
    ({"url": URL, "types": ["webhook.test"]}, "types.0"),
    ({"url": URL, "types": ["payment.failed", "payment.failed"]}, "types"),
    ({"url": URL, "types": ["payment.failed"] * 1000}, "types"),
    ({"url": URL, "types": None}, "types"),
    ({"url": URL, "description": "x" * 501}, "description"),
    ({"url": URL, "description": "\0"}, "description"),
    ({"url": URL, "description": "\ud800"}, "description"),
    ({"url": URL, "description": None}, "description"),
    ({"url": URL, "tenant": "Acme"}, "tenant"),
    ({"url": URL, "tenant": "acme~x"}, "tenant"),
    ({"url": URL, "tenant": ""}, "tenant"),
    ({"url": URL, "enabled": True}, "enabled"),
    ({"url": URL, "secret": "whsec_x"}, "secret"),
    ({"url": URL, "URL": URL}, "URL"),
]


@pytest.mark.parametrize(("body", "field"), REFUSED_BODIES)
async def test_a_wrong_field_is_named_and_nothing_stored(
    call: Client, sql: Sql, body: Any, field: str
) -> None:
    status, answer = await call("POST", "/webhooks", body)
    assert (status, answer["code"]) == (422, "validation_error")
    assert [error["field"] for error in answer["errors"]] == [field]
    assert await sql.fetchval("SELECT count(*) FROM webhook_endpoints") == 0
    assert await sql.fetchval("SELECT count(*) FROM operator_actions") == 0


async def test_the_answer_to_many_wrong_fields_is_bounded(call: Client) -> None:
    status, answer = await call("POST", "/webhooks", {f"f{number}": 1 for number in range(4000)})
    assert status == 422
    assert len(answer["errors"]) == 20


REFUSED_CHANGES = [
    ("PATCH", "", {"url": "https://10.0.0.1/"}, "url"),
    ("PATCH", "", {"url": None}, "url"),
    ("PATCH", "", {"types": ["nonsense"]}, "types.0"),
    ("PATCH", "", {"enabled": "yes"}, "enabled"),
    ("PATCH", "", {"enabled": None}, "enabled"),
    ("PATCH", "", {"tenant": "acme"}, "tenant"),
    ("POST", "/secret", {"graceHours": 169}, "graceHours"),
    ("POST", "/secret", {"graceHours": -1}, "graceHours"),
    ("POST", "/secret", {"graceHours": 1.5}, "graceHours"),
    ("POST", "/secret", {"graceHours": 1e9999}, "graceHours"),
    ("POST", "/secret", {"graceHours": True}, "graceHours"),
    ("POST", "/secret", {"graceHours": "1"}, "graceHours"),
    ("POST", "/test", {"type": "payment.completed"}, "type"),
    ("POST", "/resend", {}, "since"),
    ("POST", "/resend", {"since": "yesterday"}, "since"),
    ("POST", "/resend", {"since": "2026-01-31T12:00:00"}, "since"),
    ("POST", "/resend", {"since": 5}, "since"),
]


@pytest.mark.parametrize(("method", "tail", "body", "field"), REFUSED_CHANGES)
async def test_a_wrong_change_is_refused_and_changes_nothing(
    call: Client,
    sql: Sql,
    client: TestClientProtocol,
    method: str,
    tail: str,
    body: Any,
    field: str,
) -> None:
    webhook = await created(call)
    if body.get("graceHours") == float("inf"):
        raw, json = b'{"graceHours": 1e9999}', {"Content-Type": "application/json"}
        sent = await client.post(f"/webhooks/{webhook['id']}{tail}", data=raw, headers=json)
        status, answer = sent.status_code, await sent.get_json()
    else:
        status, answer = await call(method, f"/webhooks/{webhook['id']}{tail}", body)
    assert (status, answer["code"]) == (422, "validation_error")
    assert [error["field"] for error in answer["errors"]] == [field]
    del webhook["secret"]
    assert (await call("GET", f"/webhooks/{webhook['id']}"))[1] == webhook
    assert await sql.fetchval("SELECT count(*) FROM operator_actions") == 1


@pytest.mark.parametrize("tail", ["/test", "/secret", "/resend"])
async def test_an_action_needs_a_json_body(client: TestClientProtocol, tail: str) -> None:
    """A browser sends no JSON to another site unasked: with keys off, that is the defence."""
    path = f"/webhooks/{uuid4()}{tail}"
    assert (await client.post(path)).status_code == 415
    assert (await client.post(path, form={"a": "b"})).status_code == 415
    headers = {"Content-Type": "application/json"}
    assert (await client.post(path, data=b"[]", headers=headers)).status_code == 400


async def test_a_receiver_on_this_machine_is_for_authentication_off_alone(
    call: Client, party: Callable[..., Awaitable[Client]]
) -> None:
    local = {"url": "http://127.0.0.1:8000/hook"}
    assert (await call("POST", "/webhooks", local))[0] == 201
    keyed = await party(None)
    assert (await keyed("POST", "/webhooks", local))[0] == 422


async def test_all_types_can_be_named(call: Client) -> None:
    webhook = await created(call, types=list(SUBSCRIBABLE_TYPES))
    assert webhook["types"] == list(SUBSCRIBABLE_TYPES)


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


async def test_an_endpoint_has_a_bounded_number_of_tests(client: TestClientProtocol) -> None:
    answer = await client.post("/webhooks", json={"url": URL})
    address = f"{answer.headers['Location']}/test"
    for _ in range(TESTS_PER_HOUR_MAX):
        assert (await client.post(address, json={})).status_code == 202
    answer = await client.post(address, json={})
    assert (answer.status_code, (await answer.get_json())["code"]) == (429, "too_many_tests")
    assert 3500 <= int(answer.headers["Retry-After"]) <= 3600


async def test_concurrent_changes_of_different_fields_both_stay(call: Client) -> None:
    webhook = await created(call)
    one = f"/webhooks/{webhook['id']}"
    for number in range(5):
        answers = await asyncio.gather(
            call("PATCH", one, {"url": f"{URL}/{number}"}),
            call("PATCH", one, {"description": f"d{number}"}),
            call("PATCH", one, {"types": [SUBSCRIBABLE_TYPES[number]]}),
        )
        assert [status for status, _ in answers] == [200, 200, 200]
        _, now = await call("GET", one)
        assert (now["url"], now["description"], now["types"]) == (
            *(f"{URL}/{number}", f"d{number}", [SUBSCRIBABLE_TYPES[number]]),
        )
