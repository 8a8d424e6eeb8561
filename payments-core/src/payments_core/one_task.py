"""A request in one task: Quart's connection takes four, which cost more than most handlers.

Quart starts a task that receives, one that handles, one that waits for them and one that sends
under a time limit. Here the handler's own task receives the body when it is asked for, and sends.
What that leaves open, whether the client is still there, is watched by a second task once a
request takes long, streams its answer, or leaves its body unread: docs/decisions/one-task.md.
"""

import asyncio
from collections.abc import Generator
from typing import Any, cast

from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope
from quart import Quart, Request, Response
from quart.asgi import ASGIHTTPConnection, _handle_exception
from quart.typing import ResponseTypes
from quart.utils import encode_headers
from quart.wrappers.request import Body
from quart.wrappers.response import DataBody

# A client that hangs up is noticed after this; most requests are answered long before.
WATCH_AFTER_SECONDS = 0.5
BODILESS = frozenset({"GET", "HEAD"})  # Unless they say otherwise.


class PulledBody(Body):
    """A body that is received by the task that reads it, until somebody else receives it."""

    connection: "OneTaskConnection | None" = None

    async def __anext__(self) -> bytes:
        while self._is_to_be_pulled() and not self._has_data.is_set():
            await self._pull()
        return await super().__anext__()

    def __await__(self) -> Generator[Any, None, Any]:
        while self._is_to_be_pulled():
            yield from self._pull().__await__()
        return (yield from super().__await__())

    def _is_to_be_pulled(self) -> bool:
        if self.connection is None or self._must_raise is not None or self._complete.is_set():
            return False
        return not self.connection.is_receiving

    async def _pull(self) -> None:
        assert self.connection is not None
        await self.connection.receive_once()


class PulledRequest(Request):
    """Quart's, with that body."""

    body_class = PulledBody
    body: PulledBody


class OneTaskConnection(ASGIHTTPConnection):
    """One request, and the task that answers it; see `use_one_task`."""

    def __init__(self, app: Quart, scope: HTTPScope) -> None:
        super().__init__(app, scope)
        self.is_receiving = False
        self._received_all = self._gone = False
        self._watcher: asyncio.Task[None] | None = None
        self._receive: ASGIReceiveCallable
        self._body: PulledBody
        self._task: asyncio.Task[Any]

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Answer the request; a client that goes away cancels what is done for it."""
        request = cast(PulledRequest, self._create_request_from_scope(send))
        self._receive, self._body = receive, request.body
        self._body.connection = self
        if not _may_have_body(request):
            self._received_all = True
            self._body.set_complete()
        loop = asyncio.get_running_loop()
        self._task = cast("asyncio.Task[Any]", asyncio.current_task(loop))
        timer = loop.call_later(WATCH_AFTER_SECONDS, self._watch)
        try:
            await self.handle_request(request, send)
        except asyncio.CancelledError:
            if not self._gone:
                raise
        finally:
            timer.cancel()
            if self._watcher is not None:
                self._watcher.cancel()

    async def receive_once(self) -> None:
        """Receive some of the body. Raises CancelledError where the client is gone."""
        self.is_receiving = True
        try:
            message = await self._receive()
        finally:
            self.is_receiving = False
        if message["type"] != "http.request":
            self._gone = True
            raise asyncio.CancelledError
        self._body.append(message.get("body", b""))
        if not message.get("more_body", False):
            self._received_all = True
            self._body.set_complete()

    def _watch(self) -> None:
        """Let another task receive from now on: what is left of the body, and the goodbye."""
        if self._watcher is None:
            self._watcher = asyncio.ensure_future(self._receive_to_the_end())

    async def _receive_to_the_end(self) -> None:
        while self.is_receiving:  # noqa: ASYNC110 - the handler waits for its body, and notices.
            await asyncio.sleep(WATCH_AFTER_SECONDS)
        try:
            while True:
                await self.receive_once()
        finally:
            if self._gone:
                self._task.cancel()

    async def handle_request(self, request: Request, send: ASGISendCallable) -> None:
        """As Quart does it, without a task for the time limit."""
        try:
            response = await self.app.handle_request(request)
        except Exception as error:
            response = await _handle_exception(self.app, error)
        seconds = self.app.config["RESPONSE_TIMEOUT"]
        if isinstance(response, Response) and response.timeout is not Ellipsis:
            seconds = response.timeout
        try:
            async with asyncio.timeout(seconds):
                await self._send_response(send, response)
        except TimeoutError:
            pass

    async def _send_response(self, send: ASGISendCallable, response: ResponseTypes) -> None:
        body = response.response
        whole = type(body) is DataBody
        # Nobody else would see a client leave a stream; and a server whose queue is full of a
        # body that nobody reads does not get to send.
        if not whole or not self._received_all:
            self._watch()
        if not whole:
            await super()._send_response(send, response)
            return
        data = cast(DataBody, body)
        start = {
            "type": "http.response.start",
            "status": response.status_code,
            "headers": encode_headers(response.headers),
        }
        end = {
            "type": "http.response.body",
            "body": data.data[data.begin : data.end],
            "more_body": False,
        }
        await send(cast(Any, start))
        await send(cast(Any, end))


def _may_have_body(request: Request) -> bool:
    """Whether one may come; over HTTP/1.1 it is announced (RFC 9112, 6.3)."""
    return (
        request.method not in BODILESS
        or bool(request.content_length)
        or "Transfer-Encoding" in request.headers
    )


def use_one_task(app: Quart) -> None:
    """Let the app answer each request in one task."""
    app.asgi_http_class = OneTaskConnection
    app.request_class = PulledRequest
