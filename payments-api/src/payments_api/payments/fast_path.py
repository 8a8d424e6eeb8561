"""The usual creation of a payment, answered without Quart: docs/decisions/0026-quick-creations.md.

An ASGI layer right around Quart's app, within metrics, traces and admission. It takes a
POST /payments as nearly all clients send it, and creates and answers with the functions that the
blueprint has too. Whatever is unusual about a request, Quart gets it, untouched.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, cast

from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope

from payments_api import metrics
from payments_api.auth.caller import ANONYMOUS, Caller
from payments_api.auth.middleware import CALLER
from payments_api.auth.operator import OPERATOR_HEADER
from payments_api.auth.tenants import stored_payment
from payments_api.http.errors import RateLimited, RequestTooSlow
from payments_api.http.json_body import BODY_MAX_BYTES, BODY_SECONDS_MAX, parse_json_object
from payments_api.openapi.route_specs import SCOPE_OF
from payments_api.payments.parsing import parse_key_header, parse_payment
from payments_api.payments.responses import JSON_TYPE, created_headers, created_text
from payments_api.payments.traceparent import valid_traceparent
from payments_api.payments.writer import Creation
from payments_api.services import Services
from payments_core.http.problems import PROBLEM_TYPE, Problem
from payments_core.http.telemetry import KEY_ID, ROUTE

PATH = "/payments"
ENDPOINT = "payments.post_payment"
# What the blueprint knows how to treat, and we do not.
UNUSUAL = frozenset({b"content-encoding", b"expect", OPERATOR_HEADER.lower().encode()})
JSON_TYPE_BYTES = JSON_TYPE.encode()

Fields = Mapping[bytes, bytes]


class QuickCreations:
    """Wraps `app.asgi_app`."""

    def __init__(self, inner: Any, here: Services) -> None:
        self._inner = inner
        self._here = here
        self._scope_needed = SCOPE_OF[ENDPOINT]

    async def __call__(
        self, scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Answer a usual creation; pass everything else on."""
        fields = _usual_fields(scope)
        who = None if fields is None else self._caller(fields)
        if fields is None or who is None:
            await self._inner(scope, receive, send)
            return
        cast(dict[str, Any], scope)[ROUTE] = PATH
        body = _Body(receive)
        try:
            usual = await body.is_usual()
        except RequestTooSlow as problem:
            metrics.refused(problem)
            await _answer_problem(send, problem)
            return
        outcome = await self._outcome(scope, fields, body.data, who) if usual else None
        if outcome is None:
            await self._inner(scope, body.again, send)
        elif isinstance(outcome, Problem):
            await _answer_problem(send, outcome)
        else:
            text = created_text(outcome, who.tenant)
            headers = {"Content-Type": JSON_TYPE, **created_headers(outcome)}
            await _answer(send, 201, text.encode(), headers)

    async def _outcome(
        self, scope: HTTPScope, fields: Fields, data: bytearray, who: Caller
    ) -> Creation | Problem | None:
        """None where nobody here knows what to make of what went wrong.

        The key makes trying again safe, and Quart has handlers for what then goes wrong once more.
        """
        try:
            self._count_key(scope, who)
            return await self._create(fields, data, who.tenant)
        except Problem as problem:
            return problem
        except Exception:
            return None

    def _caller(self, fields: Fields) -> Caller | None:
        """Who asks; None for whom it takes longer to know, or who is to be refused."""
        keys = self._here.keys
        if keys is None:
            return ANONYMOUS
        sent = fields.get(b"authorization")
        found = None if sent is None else keys.known(sent.decode("latin-1"))
        return found if found is not None and self._scope_needed in found.scopes else None

    def _count_key(self, scope: HTTPScope, who: Caller) -> None:
        """As access.py does it, which then leaves the request alone. Raises RateLimited."""
        if self._here.keys is None:
            return
        asgi = cast(dict[str, Any], scope)
        asgi[CALLER], asgi[KEY_ID] = who, who.key_id
        standing = self._here.limits.take_key(asgi, who.key_id or "")
        if standing is not None:
            raise RateLimited.because(standing)

    async def _create(self, fields: Fields, data: bytearray, tenant: str | None) -> Creation:
        try:
            sent = parse_json_object(data)
            key = parse_key_header(_text(fields, b"idempotency-key"))
            order = stored_payment(parse_payment(sent, key), tenant)
            traceparent = valid_traceparent(_text(fields, b"traceparent"))
            creation = await self._here.writer.create(order, traceparent)
        except Problem as problem:
            metrics.refused(problem)
            raise
        metrics.answered(1, replayed=creation.replayed)
        return creation


class _Body:
    """What came of the body, for us and, if need be, for somebody else once more."""

    def __init__(self, receive: ASGIReceiveCallable) -> None:
        self._receive = receive
        self.data = bytearray()
        self._complete = self._gone = self._given = False

    async def is_usual(self) -> bool:
        """Receive it; False when it is too long, or its client has left. Raises RequestTooSlow."""
        try:
            async with asyncio.timeout(BODY_SECONDS_MAX):
                while not self._complete and len(self.data) <= BODY_MAX_BYTES:
                    message = cast(dict[str, Any], await self._receive())
                    if message["type"] != "http.request":
                        self._gone = True
                        return False
                    self.data += message.get("body", b"")
                    self._complete = not message.get("more_body", False)
        except TimeoutError:
            raise RequestTooSlow(f"Send the body within {BODY_SECONDS_MAX} seconds.") from None
        return len(self.data) <= BODY_MAX_BYTES

    async def again(self) -> Any:
        """Receive it from its beginning."""
        if not self._given:
            self._given = True
            more = not self._complete
            return {"type": "http.request", "body": bytes(self.data), "more_body": more}
        return {"type": "http.disconnect"} if self._gone else await self._receive()


def _usual_fields(scope: HTTPScope) -> Fields | None:
    """The headers of a usual creation; None for anything else, such as the server's start."""
    if scope.get("path") != PATH or scope["method"] != "POST":
        return None
    headers = list(scope["headers"])
    fields = dict(headers)
    length = fields.get(b"content-length", b"0")
    usual = (
        len(fields) == len(headers)  # None of them twice.
        and fields.get(b"content-type") == JSON_TYPE_BYTES
        and UNUSUAL.isdisjoint(fields)
        and length.isdigit()
        and int(length) <= BODY_MAX_BYTES
    )
    return fields if usual else None


def _text(fields: Fields, name: bytes) -> str | None:
    value = fields.get(name)
    return None if value is None else value.decode("latin-1")


async def _answer_problem(send: ASGISendCallable, problem: Problem) -> None:
    headers = {"Content-Type": PROBLEM_TYPE, **problem.headers}
    await _answer(send, problem.status, problem.as_bytes(PATH), headers)


async def _answer(
    send: ASGISendCallable, status: int, body: bytes, headers: Mapping[str, str]
) -> None:
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    encoded.append((b"cache-control", b"no-store"))
    encoded.append((b"content-length", str(len(body)).encode()))
    start = {"type": "http.response.start", "status": status, "headers": encoded}
    await send(cast(Any, start))
    await send(cast(Any, {"type": "http.response.body", "body": body, "more_body": False}))
