"""One observation of a service's metrics, in a registry of its own."""

from collections.abc import Awaitable, Callable
from functools import partial
from types import ModuleType

import pytest
from prometheus_client.registry import CollectorRegistry

from payments_core.observability.metrics import Observed


async def observed_once(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, observing: Awaitable[None]
) -> CollectorRegistry:
    """Await the module's task, which observes once here; return its registry."""
    registry = CollectorRegistry()

    async def once(seconds: float, work: Callable[[], Awaitable[object]], failed: str) -> None:
        await work()

    monkeypatch.setattr(module, "every", once)
    monkeypatch.setattr(module, "Observed", partial(Observed, registry=registry))
    await observing
    return registry
