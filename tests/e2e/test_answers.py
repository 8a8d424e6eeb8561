"""Every kind of request has its documented answer; every error is a problem with a stable code."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

import httpx
import pytest

from testkit.deployments.api_requests import (
    API_REQUESTS,
    BALANCE,
    JSON,
    KEY,
    LIST,
    PAY,
    PAY_BATCH,
    PAY_WITH_CHARSET,
    PAYMENT,
    READ,
    REPLAY,
    UNKNOWN_ID,
    ApiRequest,
    assert_answer,
    batch,
)
from testkit.deployments.deployment import Deployment, pay, pay_with_retries, settled

REPLAYED = "Idempotency-Replayed"
SECRET_CHARS = 8  # Number of an API key's last characters, which belong to its secret.
LINES_MAX = 1_000  # Bound for an event stream to report a payment.


@pytest.mark.parametrize("api_request", API_REQUESTS, ids=lambda each: each.name)
def test_a_request_has_its_answer(client: httpx.Client, api_request: ApiRequest) -> None:
    assert_answer(api_request.send(client), api_request.status, api_request.code)


def test_a_repeated_key_replays_and_rejects_another_body(client: httpx.Client) -> None:
    headers = {**JSON, KEY: str(uuid4())}
    first, again = (client.post("/payments", content=PAYMENT, headers=headers) for _ in range(2))
    assert_answer(first, 201, None)
    assert_answer(again, 201, None)
    assert again.content == first.content
    assert (first.headers.get(REPLAYED), again.headers.get(REPLAYED)) == (None, "true")
    other = client.post("/payments", content=PAYMENT.replace(b"1.00", b"2.00"), headers=headers)
    assert_answer(other, 422, "idempotency_key_reused")


def test_each_item_of_a_batch_has_its_own_answer(client: httpx.Client) -> None:
    key = str(uuid4())
    answer = client.post("/payments/batch", content=batch(key, key, ""), headers=JSON)
    assert_answer(answer, 200, None)
    assert [
        (item["status"], item.get("replayed"), item.get("error", {}).get("code"))
        for item in answer.json()["payments"]
    ] == [(201, False, None), (201, True, None), (400, None, "idempotency_key_missing")]


def test_the_event_stream_reports_a_payment(client: httpx.Client) -> None:
    with client.stream("GET", "/payments/events") as events:
        assert_answer(events, 200, None)
        lines = events.iter_lines()
        next(lines)  # Wait until the stream is open.
        payment = pay(client, "e2e-answers", "1.00")
        assert any(payment["id"] in line for line, _ in zip(lines, range(LINES_MAX), strict=False))


@pytest.mark.parametrize(
    ("call", "status", "text"),
    [
        ("GET /", 200, "<form"),
        ("GET /activity", 200, "<h1"),
        ("GET /accounts/e2e-answers", 200, "e2e-answers"),
        (f"GET /payments/{UNKNOWN_ID}", 404, "Payment not found"),
        ("GET /nowhere", 404, "<h1"),
        ("POST /payments", 403, "<form"),
    ],
)
def test_a_page_is_served(deployment: Deployment, call: str, status: int, text: str) -> None:
    answer = httpx.request(call.split()[0], deployment.ui_url + call.split()[1])
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"].startswith("text/html")
    assert text in answer.text


def test_the_page_pays(deployment: Deployment) -> None:
    with httpx.Client(base_url=deployment.ui_url) as browser:
        form = browser.get("/").text
        fields = dict(re.findall(r'name="(csrf|idempotencyKey)" value="([^"]+)"', form))
        fields |= {"accountId": "e2e-answers", "amount": "1.00"}
        paid = browser.post("/payments", data=fields)
        assert paid.status_code == 303, paid.text
        assert "e2e-answers" in browser.get(paid.headers["Location"]).raise_for_status().text


@dataclass(frozen=True)
class Keyed:
    """The API that requires keys, and its keys by name. "" stands for no key.

    Only the test of the missing database uses the key "unseen".
    """

    url: str
    keys: dict[str, str]

    def client(self, name: str) -> httpx.Client:
        """Return a client of that API that sends the key of this name."""
        headers = {"Authorization": f"Bearer {self.keys[name]}"} if name else {}
        return httpx.Client(base_url=self.url, timeout=15, headers=headers)


@pytest.fixture(scope="module")
def keyed(deployment: Deployment) -> Iterator[Keyed]:
    """Run the API that requires keys; it is ready."""
    scopes = {"writer": "payments:write", "reader": "payments:read", "unseen": "payments:read"}
    keys = {name: deployment.make_key(scope) for name, scope in scopes.items()}
    keys["forged"] = keys["writer"][:-SECRET_CHARS] + keys["reader"][-SECRET_CHARS:]
    keys["malformed"] = "x"
    deployment.keyed_api.start()
    try:
        yield Keyed(deployment.keyed_api_url, keys)
    finally:
        deployment.keyed_api.kill()


ACCESS: list[tuple[str, ApiRequest, int, str | None]] = [
    *(
        (key, api_request, 401, "unauthorized")
        for key in ("", "forged", "malformed")
        for api_request in (PAY, PAY_WITH_CHARSET, PAY_BATCH, LIST, READ, REPLAY)
    ),
    *(
        ("reader", api_request, 403, "forbidden")
        for api_request in (PAY, PAY_BATCH, REPLAY, BALANCE)
    ),
    *(("writer", api_request, 403, "forbidden") for api_request in (LIST, READ, REPLAY)),
    *(
        ("writer", api_request, api_request.status, api_request.code)
        for api_request in (PAY, PAY_WITH_CHARSET, PAY_BATCH)
    ),
    *(
        ("reader", api_request, api_request.status, api_request.code)
        for api_request in (LIST, READ)
    ),
]


@pytest.mark.parametrize(
    ("key", "api_request", "status", "code"),
    ACCESS,
    ids=[
        f"{api_request.name} with {f'the {key}' if key else 'no'} key"
        for key, api_request, _, _ in ACCESS
    ],
)
def test_a_key_allows_only_its_scope(
    keyed: Keyed, key: str, api_request: ApiRequest, status: int, code: str | None
) -> None:
    with keyed.client(key) as client:
        answer = api_request.send(client)
    assert_answer(answer, status, code)
    assert ("WWW-Authenticate" in answer.headers) == (status in {401, 403})


def test_without_its_database_the_api_answers_503_and_recovers(
    deployment: Deployment, keyed: Keyed
) -> None:
    key = str(uuid4())
    with deployment.client() as client, keyed.client("writer") as writer:
        assert_answer(PAY.send(writer), 201, None)
        deployment.database.kill()
        try:
            for api_request in (PAY, PAY_WITH_CHARSET, LIST, READ, BALANCE, REPLAY):
                _assert_database_unavailable(api_request.send(client))
            _assert_database_unavailable(PAY.send(writer))
            items = PAY_BATCH.send(client).json()["payments"]
            assert [item["error"]["code"] for item in items] == ["database_unavailable"] * 2
            with keyed.client("unseen") as unseen, keyed.client("") as anonymous:
                # The API does not hold this key yet, and cannot look it up.
                _assert_database_unavailable(READ.send(unseen))
                assert_answer(PAY.send(anonymous), 401, "unauthorized")
            assert_answer(client.get("/readyz"), 503, "not_ready")
            assert_answer(client.get("/livez"), 200, None)
        finally:
            deployment.database.start()
        payment = pay_with_retries(client, "e2e-answers", "1.00", key)
        assert pay_with_retries(writer, "e2e-answers", "1.00", key) == payment
        assert settled(client, payment["id"])["status"] == "completed"
        with keyed.client("unseen") as unseen:
            assert_answer(READ.send(unseen), READ.status, READ.code)


def _assert_database_unavailable(answer: httpx.Response) -> None:
    assert_answer(answer, 503, "database_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
