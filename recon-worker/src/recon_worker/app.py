"""The worker's process: control server, worker, auditor and sealer."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

from quart import Quart

from payments_core.cli.database import check_sign_in
from payments_core.config import warn_of_unknown_variables
from payments_core.db.engine import create_engine
from payments_core.db.telemetry import register_pool_metrics
from payments_core.db.tls import warn_without_tls
from payments_core.db.url import dsn_with_password
from payments_core.http.control import control_blueprint
from payments_core.http.edge import Edge
from payments_core.http.problems import install_problem_handlers
from payments_core.http.telemetry import observe_http
from payments_core.observability.logs import configure_logs
from payments_core.observability.metrics import show_build
from payments_core.observability.tracing import tracing
from payments_core.server.options import Lifecycle, ServeOptions
from payments_core.server.run import serve
from payments_core.supervise import Supervisor
from recon_worker.audit.scheduler import watch
from recon_worker.sealing.background import Sealer
from recon_worker.sealing.format import read_keys
from recon_worker.settings import WorkerSettings
from recon_worker.worker.loop import Worker

CONTROL_DRAIN_SECONDS = 1.0


def create_control_app(worker: Worker, lifecycle: Lifecycle) -> Quart:
    """Return the control server's application: health, readiness and metrics."""
    app = Quart(__name__)
    observe_http(app)

    async def not_ready_because() -> str | None:
        return None if worker.reachable else worker.not_ready_because

    app.register_blueprint(control_blueprint(lifecycle, not_ready_because))
    install_problem_handlers(app)
    app.url_map.strict_slashes = app.url_map.merge_slashes = False
    cast(Any, app).asgi_app = Edge(app.asgi_app, hosts=None)
    return app


async def _after_schema(worker: Worker, work: Callable[[], Awaitable[None]]) -> None:
    await worker.schema_found.wait()
    await work()


def _start_background(
    tasks: Supervisor, worker: Worker, settings: WorkerSettings, keys: Sequence[bytes]
) -> None:
    def start(name: str, work: Callable[[], Awaitable[None]]) -> None:
        tasks.start(name, _after_schema(worker, work))

    if settings.audit_interval_seconds:
        start("auditor", lambda: watch(worker.engine, settings.audit_interval_seconds))
    if settings.seal_interval_seconds:
        sealer = Sealer(
            worker.engine,
            keys,
            settings.seal_interval_seconds,
            settings.seal_verify_entries_per_second,
        )
        start("sealer", sealer.run)


async def run_worker(settings: WorkerSettings) -> None:
    """Run until SIGTERM or SIGINT, then drain: finish the current batches."""
    configure_logs("recon-worker", settings.log_level, settings.log_format)
    warn_of_unknown_variables(settings)
    version = show_build("recon-worker")
    with tracing("recon-worker", version):
        await _run(settings, version)


async def _run(settings: WorkerSettings, version: str) -> None:
    dsn = dsn_with_password(settings.database_url, settings.database_password_file)
    warn_without_tls(dsn)
    await check_sign_in(dsn)
    keys = read_keys(settings.seal_key_file)
    # One each for every lane, renewal, rescue, pruning, heartbeat, notifier and sealer; two for the
    # audit.
    engine = create_engine(dsn, application_name="recon-worker", pool_size=settings.concurrency + 8)
    register_pool_metrics(engine)
    lifecycle = Lifecycle()
    worker = Worker(settings, engine, dsn, lifecycle, version)
    app = create_control_app(worker, lifecycle)
    options = ServeOptions(settings.host, settings.port, CONTROL_DRAIN_SECONDS)
    tasks = Supervisor(lifecycle)
    working = tasks.start("worker", worker.run())
    _start_background(tasks, worker, settings, keys)
    try:
        await serve(app, options, lifecycle, working)
    finally:
        # A worker without its control server cannot be observed, so it drains too.
        lifecycle.stopping.set()
        await asyncio.wait({working})
        await tasks.stop()
        await engine.dispose()
