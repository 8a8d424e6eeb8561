"""Admission control counts each rejection under its own reason."""

import asyncio
from typing import Any

import pytest
from prometheus_client import REGISTRY
from quart import Quart

from payments_api.auth.caller import JOBS_ADMIN
from payments_api.auth.middleware import PUBLIC, required_scopes
from payments_api.limits.admission import LIMITED, STREAM, Admission
from payments_api.limits.client_limits import ClientLimits
from payments_api.settings import ApiSettings


@pytest.fixture
def admission() -> Admission:
    """Return admission control at its limit."""
    settings = ApiSettings.model_validate({"auth": "off"})

    async def inner(_scope: Any, _receive: Any, _send: Any) -> None:
        raise AssertionError("admitted")

    admission = Admission(inner, settings, ClientLimits(settings))
    admission.writes.limit = admission.reads.limit = 0
    return admission


async def _ask(admission: Admission, method: str, path: str) -> int:
    """Send a request; return the status of its answer."""
    messages: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": []}
    async with asyncio.timeout(5):
        await admission(scope, receive, send)  # type: ignore[arg-type]  # The scope is a plain dict.
    return int(messages[0]["status"])


def _count(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


@pytest.mark.parametrize(
    ("method", "path", "payments", "reversals"),
    [
        ("GET", "/payments", 0, 0),
        ("GET", "/accounts", 0, 0),
        ("GET", "/accounts/acc_1/balance", 0, 0),
        ("GET", "/payments/x/reversals", 0, 0),
        ("GET", "/reversals/x", 0, 0),
        ("POST", "/payments", 1, 0),
        ("POST", "/payments/batch", 1, 0),
        ("POST", "/payments/x/reversals", 0, 1),
    ],
)
async def test_a_rejected_creation_counts_as_rejected_payment_or_reversal(
    admission: Admission, method: str, path: str, payments: int, reversals: int
) -> None:
    labels = {"http_route": "unmatched", "method": method, "status": "503"}
    rejected = _count("payments_rejected_total", reason="overloaded")
    not_reversed = _count("reversals_rejected_total", reason="overloaded")
    requests = _count("http_server_requests_total", **labels)
    for _ in range(2):
        assert await _ask(admission, method, path) == 503
    assert _count("payments_rejected_total", reason="overloaded") == rejected + 2 * payments
    assert _count("reversals_rejected_total", reason="overloaded") == not_reversed + 2 * reversals
    assert _count("http_server_requests_total", **labels) == requests + 2


def test_every_route_of_clients_is_limited(app: Quart) -> None:
    """Only operators' routes, public ones and the bounded stream are exempt."""
    scopes = required_scopes(app)
    clients = [name for name, scope in scopes.items() if scope not in (PUBLIC, JOBS_ADMIN)]
    routes = {rule.rule for rule in app.url_map.iter_rules() if rule.endpoint in clients}
    assert {"/payments", "/accounts", "/events", STREAM} <= routes
    assert [route for route in routes if not route.startswith(LIMITED)] == []
