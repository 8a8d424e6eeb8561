"""Requests about webhooks that are refused: URLs, bodies, changes; each with its reason."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from quart.typing import TestClientProtocol

from testkit.database.sql import Sql

from .conftest import URL, Client, created

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
