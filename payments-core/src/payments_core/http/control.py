"""The routes that operate a service: health, readiness, metrics."""

from collections.abc import Awaitable, Callable

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from quart import Blueprint, Response, request

from payments_core.http.problems import NotReady
from payments_core.server.options import Lifecycle

ReadyCheck = Callable[[], Awaitable[str | None]]


def control_blueprint(lifecycle: Lifecycle, not_ready_because: ReadyCheck) -> Blueprint:
    """Return the routes /health, /livez, /readyz and /metrics.

    `not_ready_because` returns None if the service can work, else one line that says why
    not. /livez depends on nothing: a dead database is no reason to restart this process.
    """
    control = Blueprint("control", __name__)

    @control.get("/health")
    @control.get("/livez", endpoint="livez")
    async def health() -> dict[str, str]:
        """Whether this process runs."""
        return {"status": "ok"}

    @control.get("/readyz")
    async def readyz() -> dict[str, str]:
        """Whether this process takes requests."""
        if lifecycle.draining:
            raise NotReady("This process is stopping.")
        reason = await not_ready_because()
        if reason is not None:
            raise NotReady(reason)
        return {"status": "ready"}

    @control.get("/metrics")
    async def metrics() -> Response:
        """This process's metrics, for Prometheus."""
        if "application/openmetrics-text" in request.headers.get("Accept", ""):
            # Exemplars exist in this format only.
            text = openmetrics.generate_latest(REGISTRY)  # type: ignore[no-untyped-call]  # Theirs.
            return Response(text, content_type=openmetrics.CONTENT_TYPE_LATEST)
        return Response(generate_latest(REGISTRY), content_type=CONTENT_TYPE_LATEST)

    return control
