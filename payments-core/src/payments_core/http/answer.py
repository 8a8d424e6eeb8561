"""An HTTP answer that Quart or a layer below it can send."""

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from hypercorn.typing import ASGISendCallable
from quart import Response


class Answer(NamedTuple):
    """The answer to a request. `headers` do not repeat Content-Length and Cache-Control."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def as_response(self) -> Response:
        """Return it for Quart to send."""
        return Response(self.body, self.status, {**self.headers, "Cache-Control": "no-store"})

    def as_messages(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return its two ASGI messages."""
        encoded = [(name.lower().encode(), value.encode()) for name, value in self.headers.items()]
        encoded.append((b"cache-control", b"no-store"))
        encoded.append((b"content-length", str(len(self.body)).encode()))
        start = {"type": "http.response.start", "status": self.status, "headers": encoded}
        return start, {"type": "http.response.body", "body": self.body, "more_body": False}

    async def send(self, send: ASGISendCallable) -> None:
        """Send it over ASGI."""
        for message in self.as_messages():
            await send(cast(Any, message))
