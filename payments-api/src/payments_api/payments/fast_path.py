"""Fast path: answer the usual POST /payments without Quart (docs/decisions/0026).

An ASGI layer inside metrics, traces and admission control. It calls the use case that the route
calls; a request that it does not recognise goes on to Quart, unchanged.
"""

import asyncio
from typing import Any, cast

from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope

from payments_api import metrics
from payments_api.auth.middleware import AccessControl
from payments_api.http.errors import RequestTooSlow
from payments_api.http.json_body import BODY_MAX_BYTES, BODY_SECONDS_MAX
from payments_api.http.messages import HeaderFields, header_text
from payments_api.payments.create import REQUIRED_SCOPE, create_payment
from payments_api.payments.writer import PaymentWriter
from payments_core.http.problems import Problem
from payments_core.http.telemetry import ROUTE

PATH = "/payments"


class FastPath:
    """The layer around Quart's app."""

    def __init__(self, inner: Any, access: AccessControl, writer: PaymentWriter) -> None:
        self._inner = inner
        self._access = access
        self._writer = writer

    async def __call__(
        self, scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Answer a creation whose caller is known already; pass on every other request."""
        fields = _usual_fields(scope)
        caller = None
        if fields is not None:
            authorization = header_text(fields, b"authorization")
            caller = self._access.known_caller(authorization, REQUIRED_SCOPE)
        if fields is None or caller is None:
            await self._inner(scope, receive, send)
            return
        asgi = cast(dict[str, Any], scope)
        asgi[ROUTE] = PATH
        body = _Body(receive)
        try:
            answer = None
            if await body.read():
                self._access.charge_key(asgi, caller)
                answer = await create_payment(self._writer, fields, body.data, caller)
        except Problem as problem:
            answer = problem.as_answer(PATH)
        except Exception:
            # Quart's handlers answer it if it fails again; the key makes a second attempt safe.
            answer = None
        if answer is None:
            await self._inner(scope, body.receive_again, send)
        else:
            await answer.send(send)


class _Body:
    """A request's body, kept so that Quart can receive it once more."""

    def __init__(self, receive: ASGIReceiveCallable) -> None:
        self._receive = receive
        self.data = bytearray()
        self._complete = self._disconnected = self._replayed = False

    async def read(self) -> bool:
        """Receive the body; return False if it is too long or its client disconnected.

        Raises RequestTooSlow.
        """
        try:
            async with asyncio.timeout(BODY_SECONDS_MAX):
                while not self._complete and len(self.data) <= BODY_MAX_BYTES:
                    message = cast(dict[str, Any], await self._receive())
                    if message["type"] != "http.request":
                        self._disconnected = True
                        return False
                    self.data += message.get("body", b"")
                    self._complete = not message.get("more_body", False)
        except TimeoutError:
            problem = RequestTooSlow(f"Send the body within {BODY_SECONDS_MAX} seconds.")
            metrics.count_rejected(problem)
            raise problem from None
        return len(self.data) <= BODY_MAX_BYTES

    async def receive_again(self) -> Any:
        """Receive the bytes that were read, then the rest: ASGI's `receive` for the inner app."""
        if not self._replayed:
            self._replayed = True
            more = not self._complete
            return {"type": "http.request", "body": bytes(self.data), "more_body": more}
        return {"type": "http.disconnect"} if self._disconnected else await self._receive()


def _usual_fields(scope: HTTPScope) -> HeaderFields | None:
    """Return the header fields of a creation, or None for anything else."""
    if scope.get("path") != PATH or scope["method"] != "POST":
        return None
    headers = list(scope["headers"])
    fields = dict(headers)
    length = fields.get(b"content-length", b"0")
    # Quart knows how to treat a repeated field and how to refuse a body that is too long.
    usual = len(fields) == len(headers) and length.isdigit() and int(length) <= BODY_MAX_BYTES
    return fields if usual else None
