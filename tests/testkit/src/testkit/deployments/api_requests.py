"""Requests to the API, each with the status and the problem code of its answer."""

import json
from dataclasses import dataclass, field
from uuid import uuid4

import httpx

KEY = "Idempotency-Key"
FRESH = "<fresh>"  # Replaced by a fresh idempotency key.
UNKNOWN_ID = "00000000-0000-7000-8000-000000000000"
JSON = {"Content-Type": "application/json"}
CHARSET = {"Content-Type": "application/json; charset=utf-8"}
TEXT = {"Content-Type": "text/plain"}
PAYMENT = b'{"accountId": "e2e-answers", "amount": "1.00"}'
ACTOR = b'{"actor": "e2e"}'
BODY_BYTES_TOO_MANY = 100_000


@dataclass(frozen=True)
class ApiRequest:
    """A request and its answer. `code` is the problem's, None for a success."""

    name: str
    call: str  # POST /payments
    status: int
    code: str | None = None
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def send(self, client: httpx.Client) -> httpx.Response:
        """Send the request."""
        method, path = self.call.split()
        headers = dict(self.headers)
        if headers.get(KEY) == FRESH:
            headers[KEY] = str(uuid4())
        return client.request(method, path, content=self.body, headers=headers)


def assert_answer(answer: httpx.Response, status: int, code: str | None) -> None:
    """Assert the status, and that an error is a problem document with this code."""
    assert answer.status_code == status, answer.text
    if code is not None:
        assert answer.headers["Content-Type"] == "application/problem+json"
        problem = answer.json()
        assert (problem["code"], problem["status"]) == (code, status)


def batch(*keys: str) -> bytes:
    """Return the body of a batch of equal payments under these idempotency keys."""
    payment = json.loads(PAYMENT)
    return json.dumps({"payments": [{"idempotencyKey": key, **payment} for key in keys]}).encode()


def _pay(
    name: str, status: int, code: str | None, body: bytes, headers: dict[str, str]
) -> ApiRequest:
    return ApiRequest(name, "POST /payments", status, code, body, {KEY: FRESH, **headers})


def _batch(
    name: str, status: int, code: str | None, body: bytes, headers: dict[str, str]
) -> ApiRequest:
    return ApiRequest(name, "POST /payments/batch", status, code, body, headers)


PAY = _pay("a payment", 201, None, PAYMENT, JSON)
PAY_WITH_CHARSET = _pay("a payment with a charset", 201, None, PAYMENT, CHARSET)
PAY_BATCH = _batch("a batch", 200, None, batch("e2e-1", "e2e-2"), JSON)
READ = ApiRequest("an unknown payment", f"GET /payments/{UNKNOWN_ID}", 404, "payment_not_found")
LIST = ApiRequest("a list", "GET /payments?limit=1", 200)
BALANCE = ApiRequest("a balance", "GET /accounts/e2e-answers/balance", 200)
REPLAY = ApiRequest(
    *("the replay of an unknown job", f"POST /jobs/{UNKNOWN_ID}/replay", 404, "job_not_found"),
    *(ACTOR, JSON),
)
API_REQUESTS = (
    PAY,
    PAY_WITH_CHARSET,
    _pay("a payment as text", 415, "unsupported_media_type", PAYMENT, TEXT),
    _pay("a payment of no media type", 415, "unsupported_media_type", PAYMENT, {}),
    _pay("half a payment", 400, "malformed_json", PAYMENT[:-1], JSON),
    _pay("an empty body", 400, "malformed_json", b"", JSON),
    _pay("a list as a payment", 400, "malformed_json", b"[]", JSON),
    _pay("a payment that is not UTF-8", 400, "malformed_json", b'{"accountId": "\xff"}', JSON),
    _pay("a huge payment", 413, "payload_too_large", b" " * BODY_BYTES_TOO_MANY, JSON),
    _pay("a word as an amount", 422, "validation_error", PAYMENT.replace(b"1.00", b"one"), JSON),
    _pay("a bad idempotency key", 400, "idempotency_key_invalid", PAYMENT, {**JSON, KEY: "a b"}),
    ApiRequest(
        "no idempotency key", "POST /payments", 400, "idempotency_key_missing", PAYMENT, JSON
    ),
    PAY_BATCH,
    _batch("a batch with a charset", 200, None, batch("e2e-1"), CHARSET),
    _batch("a batch as text", 415, "unsupported_media_type", batch("e2e-1"), TEXT),
    _batch("half a batch", 400, "malformed_json", batch("e2e-1")[:-1], JSON),
    _batch("an empty batch", 422, "validation_error", batch(), JSON),
    LIST,
    ApiRequest("the head of a list", "HEAD /payments", 200),
    ApiRequest("a forged cursor", "GET /payments?cursor=forged", 400, "invalid_cursor"),
    ApiRequest("a limit of zero", "GET /payments?limit=0", 422, "validation_error"),
    READ,
    ApiRequest("a malformed payment id", "GET /payments/x", 404, "payment_not_found"),
    BALANCE,
    ApiRequest("a statement", "GET /accounts/e2e-answers/entries", 200),
    ApiRequest("the jobs", "GET /jobs", 200),
    ApiRequest("an unknown job", f"GET /jobs/{UNKNOWN_ID}", 404, "job_not_found"),
    REPLAY,
    ApiRequest("the replay of all dead letters", "POST /jobs/replay", 200, None, ACTOR, JSON),
    ApiRequest(
        "a replay without an actor", "POST /jobs/replay", 422, "validation_error", b"{}", JSON
    ),
    ApiRequest("an unknown address", "GET /nowhere", 404, "not_found"),
    ApiRequest("a wrong method", "DELETE /payments", 405, "method_not_allowed"),
    ApiRequest("the liveness probe", "GET /livez", 200),
    ApiRequest("the readiness probe", "GET /readyz", 200),
    ApiRequest("the metrics", "GET /metrics", 200),
    ApiRequest("the API's description", "GET /openapi.json", 200),
)
