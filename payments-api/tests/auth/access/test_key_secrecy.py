"""Invalid keys are rejected, and no key is revealed."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import httpx
import pytest
from quart import Quart

from payments_api.auth.caller import PAYMENTS_READ
from payments_api.auth.keys import id_of, new_key
from payments_local.ports import free_port
from testkit.database.sql import Sql

from .conftest import bearer, refusals

Keys: TypeAlias = Callable[..., Awaitable[str]]


ANOTHER_KEY = new_key()


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (None, "missing"),
        ("", "malformed"),
        ("Bearer", "malformed"),
        ("Bearer ", "malformed"),
        (f"Basic {ANOTHER_KEY}", "malformed"),
        (ANOTHER_KEY, "malformed"),
        (f"Bearer  {ANOTHER_KEY}", "malformed"),
        (
            f"Bearer {ANOTHER_KEY} ",
            "unknown",
        ),  # Blanks around a header's value do not belong to the value.
        (f"Bearer {ANOTHER_KEY}x", "malformed"),
        (f"Bearer {ANOTHER_KEY[:-1]}", "malformed"),
        (f"Bearer {ANOTHER_KEY[:-1]}\u00e9", "malformed"),
        ("Bearer " + "pay_" * 2_000, "malformed"),
        (f"Bearer {ANOTHER_KEY}", "unknown"),
        (f"bearer {ANOTHER_KEY}", "unknown"),
    ],
    ids=[
        *("missing", "empty", "no key", "blank key", "Basic", "no scheme", "two blanks"),
        *("blanks around", "too long", "too short", "not ASCII", "far too long"),
        *("unknown", "lower-case scheme"),
    ],
)
async def test_an_invalid_key_is_rejected(serve_api: Any, header: str | None, reason: str) -> None:
    served = await serve_api(auth="on")
    before = refusals(reason)
    sent = b"" if header is None else b"Authorization: " + header.encode("latin-1") + b"\r\n"
    answer = await served.send_raw(
        b"GET /payments HTTP/1.1\r\nHost: localhost\r\n" + sent + b"\r\n"
    )
    assert (answer.status, answer.json()["code"]) == (401, "unauthorized")
    assert ("invalid_token" in answer.headers["www-authenticate"]) == (reason != "missing")
    assert refusals(reason) == before + 1


async def test_another_secret_of_a_known_id_is_rejected(kept: Quart, make_key: Keys) -> None:
    key = await make_key()
    client = kept.test_client()
    assert (await client.get("/payments", headers=bearer(key))).status_code == 200
    other = key[:-1] + ("a" if key[-1] != "a" else "b")
    assert (await client.get("/payments", headers=bearer(other))).status_code == 401


async def test_the_stored_hash_does_not_reveal_the_key(make_key: Keys, sql: Sql) -> None:
    key = await make_key()
    secret = key.rpartition("_")[2]
    (row,) = await sql.fetch("SELECT api_keys::text FROM api_keys")
    for start in range(len(secret) - 7):
        part = secret[start : start + 8]
        assert part not in row[0]
        assert part.encode().hex() not in row[0]


async def test_a_key_is_in_no_log_metric_or_answer(
    api_url_of_database: str, make_key: Keys
) -> None:
    key, reader, unknown = await make_key(), await make_key(PAYMENTS_READ), new_key()
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "payments_api", "serve"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={
            **os.environ,
            "DATABASE_URL": api_url_of_database,
            "PAYMENTS_API_AUTH": "on",
            "PAYMENTS_API_PORT": str(port),
            "LOG_LEVEL": "DEBUG",
        },
    )
    said = ""
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            for attempt in range(200):
                with contextlib.suppress(httpx.TransportError):
                    await http.get("/livez")
                    break
                await asyncio.sleep(0.05 + attempt / 1_000)
            statuses = set()
            for sent in (key, reader, unknown):
                for header in (f"Bearer {sent}", sent, f"Basic {sent}", f"Bearer {sent}{sent}"):
                    for method, path in (
                        ("GET", "/payments"),
                        ("POST", "/payments"),
                        ("GET", "/jobs"),
                        ("GET", "/nowhere"),
                        ("GET", f"/accounts/{'a' * 200}/balance"),
                    ):
                        headers = {"Authorization": header, "Idempotency-Key": "k"}
                        body = b"{" if method == "POST" else None
                        answer = await http.request(method, path, headers=headers, content=body)
                        statuses.add(answer.status_code)
                        said += answer.text + str(answer.headers)
            said += (await http.get("/metrics")).text
    finally:
        process.terminate()
        said += (await asyncio.wait_for(process.communicate(), 20))[0].decode()
    assert statuses == {200, 401, 403, 404, 415, 422}
    assert "http_request" in said
    # The key's public id identifies the caller.
    assert f'"key_id": "{id_of(key)}"' in said
    for sent in (key, reader, unknown):
        assert sent.rpartition("_")[2] not in said
