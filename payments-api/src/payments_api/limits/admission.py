"""Admission control: reject rate-limited and excess requests before they use resources.

An ASGI layer around everything else, so that a rejection costs little more than its parsing: no
routing, no body, no log line for each. It counts refusals, and logs a summary once a second.
"""

import asyncio
import logging
import re
from time import monotonic
from typing import Any, cast

from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope
from prometheus_client import Counter

from payments_api import metrics
from payments_api.http.errors import Overloaded
from payments_api.http.read_again import READING
from payments_api.limits.client_limits import DECISIONS, ClientLimits
from payments_api.limits.concurrency import ConcurrencyLimit
from payments_api.limits.rate_limit import LimitDecision
from payments_api.limits.settings import LimitSettings
from payments_core.http.problems import Problem
from payments_core.http.telemetry import METHODS, OTHER_METHOD, PROBES, REQUESTS, UNMATCHED

# The routes that admission control limits. Probes, documents and operators' routes are exempt:
# an operator who investigates an overload must get in.
LIMITED = (
    *("/payments", "/accounts", "/reversals", "/events", "/sources", "/statements"),
    *("/webhooks", "/webhook-deliveries"),
)
STREAM = "/payments/events"  # Open for hours: bounded by a separate limit.
# Takes as long as its sender, which says nothing about a queue: bounded by a separate limit.
UPLOAD = ("POST", "/statements")
CREATING = frozenset({"/payments", "/payments/batch"})
REVERSING = re.compile("/payments/[^/]+/reversals")
WRITES_LEAST, READS_LEAST = 64, 32
# Of a refused request's body; a longer one costs its client the connection.
BODY_PARTS_MAX = 4
BODY_SECONDS_MAX = 0.5

log = logging.getLogger(__name__)


class Admission:
    """The layer around the app."""

    def __init__(self, inner: Any, settings: LimitSettings, limits: ClientLimits) -> None:
        self._inner = inner
        self._limits = limits
        seconds, most = settings.latency_target_seconds, settings.requests_max
        self.writes = ConcurrencyLimit(seconds, WRITES_LEAST, most)
        self.reads = ConcurrencyLimit(seconds, READS_LEAST, most)
        self._refusals = _Refusals()
        metrics.ADMITTED_MAX.labels("write").set_function(lambda: self.writes.limit)
        metrics.ADMITTED_MAX.labels("read").set_function(lambda: self.reads.limit)

    async def __call__(
        self, scope: Any, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self._inner(scope, receive, send)
            return
        if self._limits.enabled:
            send = _with_limit_headers(scope, send)
            decision = self._limits.take_address(scope)
            if decision is not None:
                await self._refusals.answer(decision.problem(), scope, receive, send)
                return
        limit = self._limit_of(scope)
        if limit is None:
            await self._inner(scope, receive, send)
            return
        started = limit.admit()
        if started is None:
            await self._refusals.answer(OVERLOADED, scope, receive, send)
            return
        try:
            await self._inner(scope, receive, send)
        finally:
            limit.answered(started)

    def _limit_of(self, scope: HTTPScope) -> ConcurrencyLimit | None:
        path = scope["path"]
        if not path.startswith(LIMITED) or path == STREAM or (scope["method"], path) == UPLOAD:
            return None
        return self.reads if scope["method"] in READING else self.writes


def _creations_rejected(method: str, path: str) -> Counter | None:
    """Return the counter of rejected creations to which the request belongs, if it creates."""
    if method != "POST":
        return None
    if path in CREATING:
        return metrics.REJECTED
    return metrics.REVERSALS_REJECTED if REVERSING.fullmatch(path) else None


def _with_limit_headers(scope: HTTPScope, send: ASGISendCallable) -> ASGISendCallable:
    async def send_with_headers(message: Any) -> None:
        if message["type"] == "http.response.start":
            decisions: list[LimitDecision] = cast(dict[str, Any], scope).get(DECISIONS, [])
            if decisions:
                policies, states = zip(*(each.headers() for each in decisions), strict=True)
                # The items of a structured field share one line (RFC 9651).
                headers = (
                    (b"ratelimit-policy", b", ".join(policies)),
                    (b"ratelimit", b", ".join(states)),
                )
                message["headers"] = [*message["headers"], *headers]
        await send(message)

    return send_with_headers


OVERLOADED = Overloaded()
# Once, and without its instance: under overload it is sent very often.
OVERLOADED_MESSAGES = OVERLOADED.as_answer().as_messages()


async def _discard_body(receive: ASGIReceiveCallable) -> None:
    """Read the body that has arrived: unread, it would cost the client its connection."""
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            for _ in range(BODY_PARTS_MAX):
                message = cast(dict[str, Any], await receive())
                if not message.get("more_body", False):
                    return
    except TimeoutError:
        return


class _Refusals:
    """Cheap refusals: counted like every answer, logged as a summary once a second."""

    def __init__(self) -> None:
        self._counters: dict[tuple[Counter | None, str, str], tuple[Counter, ...]] = {}
        self._logged_at = 0.0
        self._unlogged = 0

    async def answer(
        self,
        problem: Problem,
        scope: HTTPScope,
        receive: ASGIReceiveCallable,
        send: ASGISendCallable,
    ) -> None:
        """Send the problem, and count it."""
        if problem is OVERLOADED:
            start, body = OVERLOADED_MESSAGES
        else:
            start, body = problem.as_answer(scope["path"]).as_messages()
        self._count(problem, scope)
        if scope["method"] not in READING:
            await _discard_body(receive)
        # The headers are copied: an outer layer may add some.
        await send(cast(Any, {**start, "headers": list(start["headers"])}))
        await send(cast(Any, body))

    def _count(self, problem: Problem, scope: HTTPScope) -> None:
        method = scope["method"] if scope["method"] in METHODS else OTHER_METHOD
        rejected = _creations_rejected(method, scope["path"])
        key = (rejected, method, problem.code)
        counters = self._counters.get(key)
        if counters is None:
            counters = (REQUESTS.labels(UNMATCHED, method, problem.status),)
            if rejected is not None:
                counters = (*counters, rejected.labels(problem.code))
            self._counters[key] = counters
        for counter in counters:
            counter.inc()
        self._unlogged += 1
        now = monotonic()
        if now >= self._logged_at + 1:
            log.warning(
                "requests_refused", extra={"code": problem.code, "requests": self._unlogged}
            )
            self._logged_at, self._unlogged = now, 0
