"""HTTP messages without a framework: a request's header fields, and an answer."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, cast

from hypercorn.typing import ASGISendCallable
from quart import Response

from payments_core.http.problems import PROBLEM_TYPE, Problem

JSON_TYPE = "application/json"

HeaderFields = Mapping[bytes, bytes]


def header_fields(pairs: Iterable[tuple[bytes, bytes]]) -> HeaderFields:
    """Return an ASGI scope's headers by name, values of a repeated field joined by commas.

    Source: RFC 9110, 5.3.
    """
    fields: dict[bytes, bytes] = {}
    for name, value in pairs:
        fields[name] = fields[name] + b", " + value if name in fields else value
    return fields


def header_text(fields: HeaderFields, name: bytes) -> str | None:
    """Return the field's value as text, or None without such a field."""
    value = fields.get(name)
    return None if value is None else value.decode("latin-1")


class Answer(NamedTuple):
    """The answer to a request. `headers` do not repeat Content-Length and Cache-Control."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def of_problem(cls, problem: Problem, path: str) -> "Answer":
        """Return the problem document of a request to `path`."""
        headers = {"Content-Type": PROBLEM_TYPE, **problem.headers}
        return cls(problem.status, headers, problem.as_bytes(path))

    def as_response(self) -> Response:
        """Return it for Quart to send."""
        return Response(self.body, self.status, dict(self.headers))

    async def send(self, send: ASGISendCallable) -> None:
        """Send it over ASGI."""
        encoded = [(name.lower().encode(), value.encode()) for name, value in self.headers.items()]
        encoded.append((b"cache-control", b"no-store"))
        encoded.append((b"content-length", str(len(self.body)).encode()))
        start = {"type": "http.response.start", "status": self.status, "headers": encoded}
        await send(cast(Any, start))
        await send(cast(Any, {"type": "http.response.body", "body": self.body, "more_body": False}))
