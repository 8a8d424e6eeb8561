"""Admission control counts each rejection under its own reason."""

import asyncio
from typing import Any

import pytest
from prometheus_client import REGISTRY

from payments_api.limits.admission import Admission
from payments_api.limits.client_limits import ClientLimits
from payments_api.settings import ApiSettings


@pytest.fixture
def admission() -> Admission:
    """Return admission control that is full."""
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
        await admission(scope, receive, send)  # type: ignore[arg-type]
    return int(messages[0]["status"])


def _count(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


@pytest.mark.parametrize(
    ("method", "path", "payments"),
    [
        ("GET", "/payments", 0),
        ("GET", "/accounts", 0),
        ("GET", "/accounts/acc_1/balance", 0),
        ("POST", "/payments", 1),
        ("POST", "/payments/batch", 1),
    ],
)
async def test_only_a_refused_creation_is_a_rejected_payment(
    admission: Admission, method: str, path: str, payments: int
) -> None:
    labels = {"http_route": "unmatched", "method": method, "status": "503"}
    rejected = _count("payments_rejected_total", reason="overloaded")
    requests = _count("http_server_requests_total", **labels)
    for _ in range(2):
        assert await _ask(admission, method, path) == 503
    assert _count("payments_rejected_total", reason="overloaded") == rejected + 2 * payments
    assert _count("http_server_requests_total", **labels) == requests + 2
