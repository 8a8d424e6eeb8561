"""The outermost layer of every service: which addresses exist on which port, for which hosts.

It also sets the header that every answer has.
"""

from typing import Any, cast

from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope

from payments_core.http.hosts import AllowedHosts
from payments_core.http.problems import NotFound, Problem
from payments_core.http.telemetry import METHODS, OTHER_METHOD, PROBES, REQUESTS, UNMATCHED

# Clients may ask for it too, on the service's own port.
HEALTH = "/health"
# A browser takes no answer for another type, such as an error that quotes its input for a script.
NO_SNIFF = (b"x-content-type-options", b"nosniff")


class MisdirectedRequest(Problem):
    """This service does not answer for that host."""

    status, code = 421, "misdirected_request"


class Edge:
    """An ASGI layer that normalises a request's path and rejects requests that no route may see.

    `hosts`: the names to answer for; None answers for all. Without authentication, a web page
    could otherwise reach the service through a name of its own that resolves to 127.0.0.1 (DNS
    rebinding). `control_port`: where probes and metrics are served instead of on
    the service's own port; None serves them there too.
    """

    def __init__(
        self, inner: Any, *, hosts: AllowedHosts | None, control_port: int | None = None
    ) -> None:
        self._inner = inner
        self._hosts = hosts
        self._control_port = control_port

    async def __call__(
        self, scope: Any, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Pass the request on, or reject it."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        path = scope["path"]
        if path.endswith("/") and path != "/":
            # One address, one path: every layer below compares it.
            path = scope["path"] = path[:-1]
        send = _never_sniffed(send)
        problem = self._problem_of(scope, path)
        if problem is not None:
            method = scope["method"] if scope["method"] in METHODS else OTHER_METHOD
            REQUESTS.labels(UNMATCHED, method, problem.status).inc()
            await problem.as_answer(path).send(send)
            return
        if scope["method"] == "HEAD":
            send = _ending_after_headers(send)
        await self._inner(scope, receive, send)

    def _problem_of(self, scope: HTTPScope, path: str) -> Problem | None:
        if self._hosts is not None and not self._hosts.allows(_host_of(scope)):
            return MisdirectedRequest(
                "Use localhost, or add the name to ALLOWED_HOSTS: without authentication, requests"
                " for other names are rejected."
            )
        if "//" in path or (path.endswith("/") and path != "/"):
            return NotFound()
        if self._control_port is not None and path != HEALTH:
            on_control_port = (scope.get("server") or ("", None))[1] == self._control_port
            if on_control_port != (path in PROBES):
                return NotFound()
        return None


def _host_of(scope: HTTPScope) -> str:
    for name, value in scope["headers"]:
        if name == b"host":
            return value.decode("latin-1")
    return ""


def _never_sniffed(send: ASGISendCallable) -> ASGISendCallable:
    async def send_with_header(message: Any) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], NO_SNIFF]
        await send(message)

    return send_with_header


def _ending_after_headers(send: ASGISendCallable) -> ASGISendCallable:
    """Answer HEAD with headers alone: an endless stream would hold the connection for a body."""

    async def send_headers(message: Any) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            # The server then reports the client as gone, which ends the handler.
            await send(cast(Any, {"type": "http.response.body", "body": b"", "more_body": False}))

    return send_headers
