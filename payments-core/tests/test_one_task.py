"""A request in one task keeps what Quart's connection promises: bodies, time limits, goodbyes."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from quart import Quart, Response, request

from payments_core import one_task
from payments_core.one_task import use_one_task

SECONDS_MAX = 5.0
CHUNK = b"0123456789"


class Client:
    """What an ASGI server does for one request; `says` are messages, None is the goodbye."""

    def __init__(self, app: Quart, path: str, *, method: str = "POST", queued_max: int = 0) -> None:
        self.sent: list[dict[str, Any]] = []
        self._queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(queued_max)
        scope: dict[str, Any] = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "query_string": b"",
            "headers": [(b"host", b"localhost")],
        }
        if method == "POST":
            scope["headers"].append((b"transfer-encoding", b"chunked"))
        receive: Any = self._queue.get
        send: Any = self._send
        self.task = asyncio.ensure_future(app.asgi_app(scope, receive, send))  # type: ignore[arg-type]

    async def _send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    async def part(self, data: bytes, *, more: bool = True) -> None:
        """Send a part of the body."""
        await self._queue.put({"type": "http.request", "body": data, "more_body": more})

    async def leave(self) -> None:
        """Close the connection."""
        await self._queue.put({"type": "http.disconnect"})

    async def answer(self) -> tuple[int, bytes]:
        """Status, or 0, and body, once the app is done."""
        await asyncio.wait_for(asyncio.shield(self.task), SECONDS_MAX)
        if not self.sent:
            return 0, b""
        return self.sent[0]["status"], b"".join(part["body"] for part in self.sent[1:])


class Seen:
    """What happened to the handlers."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.cancelled = False
        self.closed = False
        self.tasks = 0


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def app(seen: Seen, monkeypatch: pytest.MonkeyPatch) -> Quart:
    monkeypatch.setattr(one_task, "WATCH_AFTER_SECONDS", 0.05)
    app = Quart(__name__)
    app.config["MAX_CONTENT_LENGTH"] = 100
    use_one_task(app)

    async def streamed() -> AsyncIterator[bytes]:
        try:
            while True:
                yield CHUNK
                seen.began.set()
                await asyncio.sleep(0.01)
        finally:
            seen.closed = True

    @app.post("/whole")
    async def whole() -> bytes:
        before = len(asyncio.all_tasks())
        data: bytes = await request.body
        seen.tasks = len(asyncio.all_tasks()) - before
        return data

    @app.post("/parts")
    async def parts() -> bytes:
        return b"|".join([part async for part in request.body])

    @app.route("/slow", methods=["GET", "POST"])
    async def slow() -> str:
        seen.began.set()
        try:
            await asyncio.sleep(SECONDS_MAX * 2)
        except asyncio.CancelledError:
            seen.cancelled = True
            raise
        return "too late"

    @app.get("/stream")
    async def stream() -> Response:
        response = Response(streamed())
        response.timeout = None
        return response

    @app.get("/bounded")
    async def bounded() -> Response:
        response = Response(streamed())
        response.timeout = 0.1
        return response

    @app.post("/unread")
    async def unread() -> str:
        await asyncio.sleep(0.1)
        return "unread"

    return app


async def test_a_request_is_one_task_and_its_answer_one_message(app: Quart, seen: Seen) -> None:
    before = asyncio.all_tasks()
    client = Client(app, "/whole")
    await client.part(CHUNK)
    await client.part(CHUNK, more=False)
    assert await client.answer() == (200, CHUNK * 2)
    assert seen.tasks == 0
    assert len(client.sent) == 2
    assert asyncio.all_tasks() == before


async def test_a_body_may_come_in_parts_and_late(app: Quart) -> None:
    client = Client(app, "/parts")
    await client.part(b"one")
    await asyncio.sleep(0.12)
    await client.part(b"two")
    await asyncio.sleep(0.12)
    await client.part(b"", more=False)
    assert await client.answer() == (200, b"one|two")


@pytest.mark.parametrize("path", ["/whole", "/parts"])
async def test_a_body_that_is_too_long_is_refused_without_being_kept(app: Quart, path: str) -> None:
    client = Client(app, path, queued_max=1)
    sending = asyncio.ensure_future(_send_much(client, b"x" * 101))
    status, _ = await client.answer()
    # In parts, each of them is within the limit that Quart keeps.
    assert status == 413
    sending.cancel()


async def _send_much(client: Client, part: bytes) -> None:
    for _ in range(1000):
        await client.part(part)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_who_leaves_while_it_takes_long_ends_it(app: Quart, seen: Seen, method: str) -> None:
    client = Client(app, "/slow", method=method)
    if method == "POST":
        await client.part(CHUNK, more=False)
    await asyncio.wait_for(seen.began.wait(), SECONDS_MAX)
    await client.leave()
    assert await client.answer() == (0, b"")
    assert seen.cancelled
    assert not client.task.cancelled()


@pytest.mark.parametrize("path", ["/whole", "/parts"])
async def test_who_leaves_within_the_body_ends_the_request(app: Quart, path: str) -> None:
    client = Client(app, path)
    await client.part(CHUNK)
    await client.leave()
    assert await client.answer() == (0, b"")


async def test_who_leaves_a_stream_ends_it(app: Quart, seen: Seen) -> None:
    client = Client(app, "/stream", method="GET")
    await asyncio.wait_for(seen.began.wait(), SECONDS_MAX)
    await client.leave()
    status, body = await client.answer()
    assert (status, body[:10]) == (200, CHUNK)
    assert seen.closed


async def test_an_answer_that_takes_too_long_is_cut(app: Quart, seen: Seen) -> None:
    client = Client(app, "/bounded", method="GET")
    status, _ = await client.answer()
    assert status == 200
    assert seen.closed
    assert client.sent[-1]["body"] == CHUNK  # And no end, which would say that it was all.


async def test_a_body_that_nobody_reads_does_not_keep_the_server_waiting(app: Quart) -> None:
    client = Client(app, "/unread", queued_max=1)
    for _ in range(50):
        await asyncio.wait_for(client.part(CHUNK), SECONDS_MAX)
    assert await client.answer() == (200, b"unread")


async def test_who_serves_may_end_a_request(app: Quart, seen: Seen) -> None:
    client = Client(app, "/slow", method="GET")
    await asyncio.wait_for(seen.began.wait(), SECONDS_MAX)
    client.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await client.task
    assert seen.cancelled


async def test_an_error_that_nobody_handles_is_an_answer_of_the_app(app: Quart) -> None:
    @app.post("/broken")
    async def broken() -> None:
        raise ValueError

    client = Client(app, "/broken")
    await client.part(b"", more=False)
    status, _ = await client.answer()
    assert status == 500
