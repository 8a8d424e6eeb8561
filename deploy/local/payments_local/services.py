"""The three services: what each is started with, and when each is ready."""

import http.client
import json
import os
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
    """What runs on top of Postgres: `migrate` to its end, then the services, in this order."""

    migrate: ChildSpec
    services: tuple[Service, ...]


def plan(settings: LocalSettings, *, on_terminal: bool) -> Plan:
    """The real commands. Each service has the least-privileged role that it can work with."""
    environ = _environ(on_terminal=on_terminal)
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
        stop_seconds_max=30.0,  # It finishes what it holds: 20 s at most by default.
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
    """None if it is ready; else what it answered instead, for a person."""
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
    """': DETAIL' of a problem document, or nothing."""
    try:
        return f": {json.loads(body)['detail']}"
    except (ValueError, KeyError, TypeError):
        return ""


def _environ(*, on_terminal: bool) -> dict[str, str]:
    """Ours, plus what suits a local run; what is set already wins.

    Without DATABASE_URL: each child is given its own, and the page none at all.
    """
    ours = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    defaults = {
        "PYTHONUNBUFFERED": "1",
        "OTEL_TRACES_SAMPLER": "always_on",
        # It listens on the loopback address only, for users of this machine.
        "PAYMENTS_API_AUTH": "off",
        # No load balancer has to notice: stop as soon as the open requests are answered.
        "PAYMENTS_API_DRAIN_SECONDS": "0.2",
        **({"LOG_FORMAT": "console"} if on_terminal else {}),
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
        # As a module: a script's first line fails where the path to this clone is long.
        command=(sys.executable, "-m", *module_and_verb),
        environ={**environ, **variables},
        cwd=REPOSITORY,
        stop_seconds_max=stop_seconds_max,
    )
