"""The client turns every failure of payments-api into an error with its own message."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from pydantic import SecretStr

from payments_ui.api.client import ApiClient
from payments_ui.api.errors import ApiProblem, ApiUnavailable, KeyNotAccepted
from payments_ui.settings import Settings
from testkit.network.certificates import Authority, server_context

PAYMENT = {"id": "p", "status": "pending"}


def client_of(answer: Callable[[httpx2.Request], httpx2.Response]) -> ApiClient:
    return ApiClient(Settings(), httpx2.MockTransport(answer))


@pytest.mark.parametrize(
    ("error", "words", "sent"),
    [
        (httpx2.ConnectError, "cannot be reached", False),
        (httpx2.ConnectTimeout, "cannot be reached", False),
        (httpx2.PoolTimeout, "is overloaded", False),
        (httpx2.ReadTimeout, "did not answer in time", True),
        (httpx2.RemoteProtocolError, "without a complete answer", True),
        (httpx2.ReadError, "without a complete answer", True),
    ],
)
async def test_a_lost_answers_error_tells_whether_the_request_was_sent(
    error: type[httpx2.TransportError], words: str, sent: bool
) -> None:
    def fail(request: httpx2.Request) -> httpx2.Response:
        raise error("no luck", request=request)

    with pytest.raises(ApiUnavailable) as caught:
        await client_of(fail).create_payment({}, "key")
    assert words in caught.value.why
    assert caught.value.sent is sent


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_errors_of_the_api_count_as_unavailability(status: int) -> None:
    with pytest.raises(ApiUnavailable):
        await client_of(lambda _: httpx2.Response(status, text="oops")).queue_stats()


@pytest.mark.parametrize("status", [401, 403])
async def test_a_rejected_page_key_is_not_reported_as_the_visitors_error(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(KeyNotAccepted) as caught:
        await client_of(lambda _: httpx2.Response(status, json={"code": "x"})).payments({})
    assert "key" in caught.value.why
    assert not caught.value.sent
    assert [record.message for record in caplog.records] == ["page_key_rejected"]


KEY = "pay_0123456789ab_" + "S" * 43


async def test_every_request_carries_the_pages_own_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    sent: list[str | None] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append(request.headers.get("Authorization"))
        return httpx2.Response(200, json=PAYMENT)

    settings = Settings(api_key=SecretStr(KEY))
    client = ApiClient(settings, httpx2.MockTransport(answer))
    await client.payment("p")
    await client.create_payment({}, "key")
    async with client.http.stream("GET", "/payments/events"):
        pass
    assert sent == [f"Bearer {KEY}"] * 3
    for shown in (caplog.text, repr(settings), repr(client), repr(client.http.headers)):
        assert KEY not in shown


@pytest.mark.parametrize("key", [None, SecretStr("")])
async def test_without_a_key_no_authorization_is_sent(key: SecretStr | None) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        assert "Authorization" not in request.headers
        return httpx2.Response(200, json=PAYMENT)

    await ApiClient(Settings(api_key=key), httpx2.MockTransport(answer)).payment("p")


async def test_a_rejection_names_its_fields() -> None:
    problem = {
        "code": "validation_error",
        "title": "Not acceptable.",
        "detail": "Correct amount.",
        "errors": [{"field": "amount", "detail": "must be a plain decimal"}, "nonsense"],
    }
    with pytest.raises(ApiProblem) as caught:
        await client_of(lambda _: httpx2.Response(422, json=problem)).create_payment({}, "key")
    assert caught.value.fields == {"amount": "must be a plain decimal"}
    assert (caught.value.status, caught.value.code) == (422, "validation_error")


@pytest.mark.parametrize("body", ["", "<html>", "[]", '"text"', '{"errors": 5}'])
async def test_a_rejection_in_any_shape_is_a_rejection(body: str) -> None:
    with pytest.raises(ApiProblem) as caught:
        await client_of(lambda _: httpx2.Response(404, text=body)).payment("x")
    assert caught.value.detail


@pytest.mark.parametrize("body", ["", "<html>", "[1]"])
async def test_an_answer_without_a_json_object_is_unavailability(body: str) -> None:
    with pytest.raises(ApiUnavailable):
        await client_of(lambda _: httpx2.Response(200, text=body)).payment("x")


@pytest.mark.parametrize(
    ("header", "replayed"), [({}, False), ({"Idempotency-Replayed": "true"}, True)]
)
async def test_a_replay_is_distinguished_from_a_new_payment(
    header: dict[str, str], replayed: bool
) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        assert request.headers["Idempotency-Key"] == "key"
        return httpx2.Response(201, json=PAYMENT, headers=header)

    payment, again = await client_of(answer).create_payment({}, "key")
    assert (dict(payment), again) == (PAYMENT, replayed)


async def test_an_id_cannot_change_the_requested_path() -> None:
    asked: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.raw_path.decode())
        return httpx2.Response(200, json=PAYMENT)

    await client_of(answer).payment("../jobs?x=1#")
    assert asked == ["/payments/..%2Fjobs%3Fx%3D1%23"]


async def test_empty_filters_are_not_sent() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        assert str(request.url.query, "ascii") == "limit=5"
        return httpx2.Response(200, json={"payments": [], "nextCursor": None})

    await client_of(answer).payments({"limit": 5, "status": "", "cursor": None})


@pytest.mark.parametrize("trusted", [True, False])
async def test_an_https_api_needs_a_trusted_authority(tmp_path: Path, trusted: bool) -> None:
    authority, other = Authority(tmp_path / "ours"), Authority(tmp_path / "other")
    signed = authority.sign("payments-api", "IP:127.0.0.1")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n" + b'{"workers":[]}')
        await writer.drain()
        writer.close()  # Python 3.13 warns of an unclosed one.

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=server_context(signed))
    port = server.sockets[0].getsockname()[1]
    client = ApiClient(
        Settings(
            api_url=f"https://127.0.0.1:{port}",
            api_ca_file=(authority if trusted else other).certificate,
        )
    )
    if trusted:
        assert await client.workers() == []
    else:
        with pytest.raises(ApiUnavailable, match="cannot be reached"):
            await client.workers()
    await client.close()
    server.close()


async def test_a_connection_lost_while_opening_is_an_unavailable_api(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An error of another type would end the live feed, and with it the process."""

    async def lose(*_: object) -> httpx2.Response:
        raise AttributeError("'NoneType' object has no attribute 'getpeername'")

    monkeypatch.setattr(httpx2.AsyncHTTPTransport, "handle_async_request", lose)
    client = ApiClient(Settings())
    with pytest.raises(ApiUnavailable) as raised:
        await client.queue_stats()
    assert not raised.value.sent
    with pytest.raises(httpx2.HTTPError):
        await client.http.get("/payments/events")
    await client.close()
