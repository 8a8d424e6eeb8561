"""The three services: how each is started, and when it is ready."""

import http.client
import json
import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from payments_local.children import ChildSpec
from payments_local.settings import REPOSITORY, LocalSettings

READY_SECONDS_MAX = 60.0
ANSWER_SECONDS_MAX = 1.0


@dataclass(frozen=True)
class Service:
    """A child that is ready once `/readyz` on its port answers 200."""

    spec: ChildSpec
    port: int


@dataclass(frozen=True)
class Plan:
    """The processes on top of Postgres: `migrate`, to its end, then the services in order."""

    migrate: ChildSpec
    services: tuple[Service, ...]


def plan(settings: LocalSettings) -> Plan:
    """Return the real commands. Each service uses its own least-privileged database role."""
    environ = _environ()
    api_url = f"http://127.0.0.1:{settings.api_port}"
    migrate = _spec(
        "migrate",
        ("payments_api", "migrate"),
        environ,
        DATABASE_URL=settings.url_for("postgres"),
    )
    worker = _spec(
        "worker",
        ("recon_worker", "run"),
        environ,
        DATABASE_URL=settings.url_for("payments_worker"),
        RECON_WORKER_PORT=str(settings.worker_port),
        stop_seconds_max=30.0,  # The worker finishes its jobs, by default within 20 s.
    )
    api = _spec(
        "api",
        ("payments_api", "serve"),
        environ,
        DATABASE_URL=settings.url_for("payments_api"),
        PAYMENTS_API_PORT=str(settings.api_port),
        stop_seconds_max=15.0,
    )
    ui = _spec(
        "ui",
        ("payments_ui", "serve"),
        environ,
        PAYMENTS_UI_PORT=str(settings.ui_port),
        PAYMENTS_UI_API_URL=api_url,
    )
    return Plan(
        migrate,
        (
            Service(worker, settings.worker_port),
            Service(api, settings.api_port),
            Service(ui, settings.ui_port),
        ),
    )


def readiness(port: int) -> str | None:
    """Return None if the service is ready, else its answer, for people."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS_MAX)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        return f"no answer on port {port} ({error})"
    finally:
        connection.close()
    return None if answer.status == 200 else f"/readyz answers {answer.status}{_detail(body)}"


def _detail(body: bytes) -> str:
    """Return ': DETAIL' of a problem document, or nothing."""
    try:
        return f": {json.loads(body)['detail']}"
    except (ValueError, KeyError, TypeError):
        return ""


def _environ() -> dict[str, str]:
    """Return our environment with defaults for a local run; variables that are set take precedence.

    Without DATABASE_URL: each child gets its own, and the page none.
    """
    ours = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    defaults = {
        "PYTHONUNBUFFERED": "1",
        "OTEL_TRACES_SAMPLER": "always_on",
        # The page listens on the loopback address only, for users of this machine.
        "PAYMENTS_API_AUTH": "off",
        # A developer's receiver runs on this machine too.
        "RECON_WORKER_WEBHOOK_LOOPBACK": str(ours.get("PAYMENTS_API_AUTH") != "on").lower(),
        # There is no load balancer to wait for: stop as soon as open requests are answered.
        "PAYMENTS_API_DRAIN_SECONDS": "0.2",
        "LOG_FORMAT": "console",  # The same on a terminal and in a pipe.
        # Lets a restarted page accept the forms of open pages.
        "PAYMENTS_UI_SECRET_KEY": secrets.token_urlsafe(32),
    }
    return {**defaults, **ours}


def _spec(
    name: str,
    module_and_verb: tuple[str, ...],
    environ: Mapping[str, str],
    *,
    stop_seconds_max: float = 10.0,
    **variables: str,
) -> ChildSpec:
    return ChildSpec(
        name=name,
        # Run as a module: an installed script's first line fails if the clone's path is long.
        command=(sys.executable, "-m", *module_and_verb),
        environ={**environ, **variables},
        cwd=REPOSITORY,
        stop_seconds_max=stop_seconds_max,
    )
