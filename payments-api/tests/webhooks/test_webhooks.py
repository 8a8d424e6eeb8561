"""Webhooks over HTTP: endpoints, secrets, deliveries."""

import asyncio
from typing import Any
from uuid import uuid4

from quart.typing import TestClientProtocol

from payments_core.domain.webhooks import SUBSCRIBABLE_TYPES, TESTS_PER_HOUR_MAX
from testkit.database.sql import Sql
from testkit.paging import read_both_ways

from .conftest import URL, Client, calling, created

ATTEMPT = (
    "INSERT INTO webhook_attempts (delivery_id, number, duration_seconds, status_code, answer)"
    " SELECT $1, n, 0.25, 500, 'no' FROM generate_series(1, $2::int) AS n"
)
FAILED = "UPDATE webhook_deliveries SET status = 'failed', finished_at = now()"


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


async def test_all_types_can_be_named(call: Client) -> None:
    webhook = await created(call, types=list(SUBSCRIBABLE_TYPES))
    assert webhook["types"] == list(SUBSCRIBABLE_TYPES)


async def test_an_endpoint_has_a_bounded_number_of_tests(client: TestClientProtocol) -> None:
    answer = await client.post("/webhooks", json={"url": URL})
    address = f"{answer.headers['Location']}/test"
    for _ in range(TESTS_PER_HOUR_MAX):
        assert (await client.post(address, json={})).status_code == 202
    answer = await client.post(address, json={})
    problem = await answer.get_json()
    assert (answer.status_code, problem["code"]) == (429, "too_many_tests")
    assert f"limit of {TESTS_PER_HOUR_MAX} test events" in problem["title"]
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
