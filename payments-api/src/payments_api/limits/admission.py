"""The API's door: who asks too often, and what is too much for now, is refused before it costs.

An ASGI layer around everything else, so that a refusal takes some ten microseconds: no routing,
no body, no line in the log for each. It counts what it refuses, and says so once a second.
"""

import asyncio
import json
import logging
import re
from time import monotonic
from typing import Any, cast

from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope
from quart import Quart

from payments_api import metrics
from payments_api.http.errors import Overloaded, RateLimited
from payments_api.limits.client_limits import STANDINGS, ClientLimits
from payments_api.limits.concurrency import ConcurrencyLimit
from payments_api.limits.rate_limit import Standing
from payments_api.limits.settings import LimitSettings
from payments_core.http.problems import PROBLEM_TYPE, Problem
from payments_core.http.telemetry import METHODS, OTHER_METHOD, PROBES, REQUESTS

# What the load consists of. Probes, documents and operators' routes are never refused for it:
# whoever looks why the API is overloaded must get in.
LOAD = ("/payments", "/accounts/")
STREAM = "/payments/events"  # Open for hours: bounded by its own number.
WRITES_LEAST, READS_LEAST = 64, 32
TURNS_UNTIL_ADMITTED = 4  # Of the event loop, from a request's bytes on; three with Hypercorn.
CREATION = b"POST /payments HTTP/1.1\r\n"
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,9})[ \t]*\r\n", re.IGNORECASE)
# What changes where a request ends, or what comes after it.
UNUSUAL = re.compile(rb"\n(?:connection:[^\r]*close|transfer-encoding|expect)", re.IGNORECASE)
# Of a refused request's body; what is longer costs its client the connection.
BODY_PARTS_MAX = 4
BODY_SECONDS_MAX = 0.5

log = logging.getLogger(__name__)


class Admission:
    """Wraps `app.asgi_app`; see `admit_requests`."""

    def __init__(self, inner: Any, settings: LimitSettings, limits: ClientLimits) -> None:
        self._inner = inner
        self._limits = limits
        seconds, most = settings.latency_target_seconds, settings.requests_max
        self.writes = ConcurrencyLimit(seconds, WRITES_LEAST, most)
        self.reads = ConcurrencyLimit(seconds, READS_LEAST, most)
        self._expected = _Expected()
        self._refusals = _Refusals()

    async def __call__(
        self, scope: Any, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self._inner(scope, receive, send)
            return
        if self._limits.wanted:
            send = _with_headers(scope, send)
            standing = self._limits.take_address(scope)
            if standing is not None:
                await self._refusals.answer(RateLimited.because(standing), scope, receive, send)
                return
        limit = self._limit_of(scope)
        if limit is None:
            await self._inner(scope, receive, send)
            return
        if limit is self.writes:
            self._expected.came()
        began = limit.admit()
        if began is None:
            await self._refusals.answer(Overloaded(), scope, receive, send)
            return
        try:
            await self._inner(scope, receive, send)
        finally:
            limit.answered(began)

    def refuse_unread(self, data: bytes) -> bytes | None:
        """The whole answer to `data`, if that is one creation and would be refused for overload.

        For the server, which is spared reading it: that costs more than all the rest of a refusal,
        and at twice what can be done every other request is refused.
        """
        if not data.startswith(CREATION):
            return None
        if not self.writes.is_full(self._expected.number()):
            self._expected.add()
            return None
        end = data.find(b"\r\n\r\n")
        length = CONTENT_LENGTH.search(data, 0, end + 2)
        # Anything but exactly one request is for the server to make sense of.
        if end < 0 or length is None or end + 4 + int(length[1]) != len(data):
            return None
        if UNUSUAL.search(data, 0, end + 2):
            return None
        self._refusals.count(Overloaded, "POST")
        return OVERLOADED_BYTES

    def _limit_of(self, scope: HTTPScope) -> ConcurrencyLimit | None:
        path = scope["path"]
        if not path.startswith(LOAD) or path == STREAM:
            return None
        return self.writes if scope["method"] == "POST" else self.reads


def admit_requests(app: Quart, settings: LimitSettings, limits: ClientLimits) -> Admission:
    """Put the door around the app. Call it last: what it refuses, nothing else sees."""
    admission = Admission(app.asgi_app, settings, limits)
    cast(Any, app).asgi_app = admission
    return admission


def _with_headers(scope: HTTPScope, send: ASGISendCallable) -> ASGISendCallable:
    async def send_with_headers(message: Any) -> None:
        if message["type"] == "http.response.start":
            standings: list[Standing] = cast(dict[str, Any], scope).get(STANDINGS, [])
            if standings:
                policies, lefts = zip(*(each.headers() for each in standings), strict=True)
                # Several items of one structured field in one line, as RFC 9651 joins them.
                told = (
                    (b"ratelimit-policy", b", ".join(policies)),
                    (b"ratelimit", b", ".join(lefts)),
                )
                message["headers"] = [*message["headers"], *told]
        await send(message)

    return send_with_headers


def _encoded(problem: Problem) -> tuple[dict[str, Any], dict[str, Any]]:
    """The two ASGI messages of the answer."""
    body = json.dumps(problem.as_json()).encode()
    said = {"Cache-Control": "no-store", **problem.headers}
    headers = [
        (b"content-type", PROBLEM_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        *((name.lower().encode(), value.encode()) for name, value in said.items()),
    ]
    start = {"type": "http.response.start", "status": problem.status, "headers": headers}
    return start, {"type": "http.response.body", "body": body, "more_body": False}


def _raw(start: dict[str, Any], body: dict[str, Any]) -> bytes:
    """The same as it goes over the wire."""
    headers = b"".join(b"%s: %s\r\n" % header for header in start["headers"])
    return b"HTTP/1.1 %d \r\n%s\r\n%s" % (start["status"], headers, body["body"])


# Made once: there will be many, when there are any.
OVERLOADED = _encoded(Overloaded())
OVERLOADED_BYTES = _raw(*OVERLOADED)


async def _discard_body(receive: ASGIReceiveCallable) -> None:
    """Take the body that came along: a connection on which it is left has to be closed."""
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            for _ in range(BODY_PARTS_MAX):
                message = cast(dict[str, Any], await receive())
                if not message.get("more_body", False):
                    return
    except TimeoutError:
        return


class _Expected:
    """Creations that were let in unread and do not count as under way yet.

    In one turn of the event loop come many, and each needs some turns until it is admitted:
    without this, all would be let in where there is room for one, and be refused after the parser.
    One that does not ask to be admitted, for whatever reason, is forgotten.
    """

    def __init__(self) -> None:
        self._of_turn = [0] * TURNS_UNTIL_ADMITTED  # The youngest first.
        self._turning = False

    def add(self) -> None:
        """One more was let in."""
        self._of_turn[0] += 1
        if not self._turning:
            self._turning = True
            asyncio.get_running_loop().call_soon(self._turn)

    def came(self) -> None:
        """One asks to be admitted: the oldest, as far as anybody can tell."""
        for turn in range(TURNS_UNTIL_ADMITTED - 1, -1, -1):
            if self._of_turn[turn]:
                self._of_turn[turn] -= 1
                return

    def number(self) -> int:
        """How many are on their way."""
        return sum(self._of_turn) if self._turning else 0

    def _turn(self) -> None:
        self._of_turn = [0, *self._of_turn[:-1]]
        self._turning = any(self._of_turn)
        if self._turning:
            asyncio.get_running_loop().call_soon(self._turn)


class _Refusals:
    """Answers that cost next to nothing, counted, and told of once a second."""

    def __init__(self) -> None:
        self._counters: dict[tuple[str, str], tuple[Any, Any]] = {}
        self._told_at = 0.0
        self._untold = 0

    async def answer(
        self,
        problem: Problem,
        scope: HTTPScope,
        receive: ASGIReceiveCallable,
        send: ASGISendCallable,
    ) -> None:
        """Send the problem, and count it as every answer is counted."""
        start, body = OVERLOADED if type(problem) is Overloaded else _encoded(problem)
        self.count(type(problem), scope["method"])
        if scope["method"] == "POST":
            await _discard_body(receive)
        # The headers are copied: whoever sends them may add some.
        await send(cast(Any, {**start, "headers": list(start["headers"])}))
        await send(cast(Any, body))

    def count(self, problem: type[Problem], method: str) -> None:
        """Count a refusal, and tell of it if none was told of for a second."""
        known = method if method in METHODS else OTHER_METHOD
        counters = self._counters.get((known, problem.code))
        if counters is None:
            counters = self._counters[known, problem.code] = (
                REQUESTS.labels("unmatched", known, problem.status),
                metrics.REJECTED.labels(problem.code),
            )
        for counter in counters:
            counter.inc()
        self._untold += 1
        now = monotonic()
        if now >= self._told_at + 1:
            log.warning("requests_refused", extra={"code": problem.code, "requests": self._untold})
            self._told_at, self._untold = now, 0
