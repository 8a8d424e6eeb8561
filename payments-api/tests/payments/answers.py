"""Answers that tables of unusual input expect, and how to ask for them."""

from typing import Any
from uuid import uuid4

from quart.typing import TestClientProtocol

from testkit.database.sql import Sql

JSON = "application/json"
INVALID = (422, "validation_error")
MALFORMED = (400, "malformed_json")
TOO_LARGE = (413, "payload_too_large")
WRONG_TYPE = (415, "unsupported_media_type")
NO_KEY = (400, "idempotency_key_missing")
WRONG_KEY = (400, "idempotency_key_invalid")
CREATED = (201, None)
GOOD = b'{"accountId": "acc_1", "amount": 1}'
REST: Any = {"accountId": "acc_1", "amount": 1}


async def checked_answer(answer: Any, expected: tuple[int, str | None], sql: Sql) -> Any:
    """Check status, problem document and stored payments; return the answer's body."""
    status, code = expected
    body = await answer.get_json()
    assert (answer.status_code, body.get("code")) == (status, code), body
    stored = await sql.fetchval("SELECT count(*) FROM payments")
    assert stored == (1 if status == 201 else 0)
    assert await sql.fetchval("SELECT count(*) FROM recon_jobs") == stored
    if code is not None:
        assert answer.content_type == "application/problem+json"
        assert body["status"] == status
        assert body["instance"] == "/payments"
        assert {"type", "title", "detail"} <= set(body)
        assert "Traceback" not in str(body)
    return body


async def post_body(
    client: TestClientProtocol, data: bytes, content_type: str | None = JSON, **headers: str
) -> Any:
    sent = {"Idempotency-Key": str(uuid4()), **headers}
    if content_type is not None:
        sent["Content-Type"] = content_type
    return await client.post("/payments", data=data, headers=sent)
