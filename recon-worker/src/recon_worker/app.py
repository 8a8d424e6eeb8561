"""The worker's process: control server, worker, auditor, sealer, imports and webhooks."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from quart import Quart
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.cli.database import check_sign_in
from payments_core.config import warn_of_unknown_variables
from payments_core.db.engine import create_engine
from payments_core.db.telemetry import register_pool_metrics
from payments_core.db.tls import warn_without_tls
from payments_core.db.url import dsn_with_password
from payments_core.http.control import control_blueprint
from payments_core.http.edge import Edge
from payments_core.http.problems import install_problem_handlers
from payments_core.http.telemetry import HttpTelemetry, install_layers
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
from recon_worker.statements.background import import_received
from recon_worker.statements.importing.load import STATEMENT_SECONDS_MAX
from recon_worker.statements.open_item_metrics import observe_statements
from recon_worker.webhooks.background import fan_out_events, keep_up
from recon_worker.webhooks.client import ATTEMPT_SECONDS_MAX, WebhookClient
from recon_worker.webhooks.sender import Sender
from recon_worker.worker.loop import Worker

CONTROL_DRAIN_SECONDS = 1.0


def create_control_app(worker: Worker, lifecycle: Lifecycle, sender: Sender | None = None) -> Quart:
    """Return the control server's application: health, readiness and metrics.

    Readiness is the worker's, or the sender's in a process that only sends webhooks.
    """
    app = Quart(__name__)

    async def not_ready_because() -> str | None:
        ready = worker.reachable if sender is None else sender.reachable
        return None if ready else worker.not_ready_because

    app.register_blueprint(control_blueprint(lifecycle, not_ready_because))
    install_problem_handlers(app)
    app.url_map.strict_slashes = app.url_map.merge_slashes = False
    install_layers(app, (partial(Edge, hosts=None), HttpTelemetry))
    return app


async def _after_schema(worker: Worker, work: Callable[[], Awaitable[None]]) -> None:
    await worker.schema_found.wait()
    await work()


def _start_background(
    tasks: Supervisor,
    worker: Worker,
    settings: WorkerSettings,
    keys: Sequence[bytes],
    importing: AsyncEngine,
) -> None:
    def start(name: str, work: Callable[[], Awaitable[None]]) -> None:
        tasks.start(name, _after_schema(worker, work))

    if not settings.does("jobs"):
        return
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
    if settings.statement_poll_seconds:
        start(
            "statement-imports",
            lambda: import_received(importing, settings.statement_poll_seconds),
        )
        start("statement-observer", lambda: observe_statements(worker.engine))


def _create_sender(settings: WorkerSettings, engine: AsyncEngine, lifecycle: Lifecycle) -> Sender:
    return Sender(
        engine,
        WebhookClient(loopback_allowed=settings.webhook_loopback),
        lifecycle,
        concurrency=settings.webhook_concurrency,
        drain_seconds=min(settings.drain_seconds, ATTEMPT_SECONDS_MAX),
    )


def _start_webhooks(
    tasks: Supervisor, worker: Worker, sender: Sender, engine: AsyncEngine
) -> "asyncio.Task[None]":
    """Start fan-out, upkeep and sender; return the sender's task, which drains by itself."""

    async def send() -> None:
        found = asyncio.create_task(worker.schema_found.wait())
        stopped = asyncio.create_task(worker.lifecycle.stopping.wait())
        await asyncio.wait({found, stopped}, return_when=asyncio.FIRST_COMPLETED)
        for waited in (found, stopped):
            waited.cancel()
        await sender.run()

    tasks.start(
        "webhook-fan-out",
        _after_schema(worker, lambda: fan_out_events(engine, sender.wake)),
    )
    tasks.start("webhook-upkeep", _after_schema(worker, lambda: keep_up(engine)))
    return tasks.start("webhook-sender", send())


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
    # One each for every lane, renewal, rescue, pruning, heartbeat, notifier, sealer and the metrics
    # of statements; two for the audit.
    engine = create_engine(dsn, application_name="recon-worker", pool_size=settings.concurrency + 9)
    register_pool_metrics(engine)
    # A large file is stored by statements that run longer than any of a payment.
    importing = create_engine(
        dsn,
        application_name="recon-worker-imports",
        pool_size=1,
        statement_seconds=STATEMENT_SECONDS_MAX,
    )
    # Fan-out, claims, records and upkeep: webhooks wait for one another, never a payment for them.
    sending = create_engine(dsn, application_name="recon-worker-webhooks", pool_size=4)
    lifecycle = Lifecycle()
    worker = Worker(settings, engine, dsn, lifecycle, version)
    sender = _create_sender(settings, sending, lifecycle)
    app = create_control_app(worker, lifecycle, None if settings.does("jobs") else sender)
    options = ServeOptions(settings.host, settings.port, CONTROL_DRAIN_SECONDS)
    tasks = Supervisor(lifecycle)
    working = tasks.start("worker", worker.run())
    draining = {working}
    _start_background(tasks, worker, settings, keys, importing)
    if settings.does("webhooks"):
        draining.add(_start_webhooks(tasks, worker, sender, sending))
    try:
        await serve(app, options, lifecycle, working)
    finally:
        # A worker without its control server cannot be observed, so it drains too.
        lifecycle.stopping.set()
        await asyncio.wait(draining)
        await tasks.stop()
        await importing.dispose()
        await sending.dispose()
        await engine.dispose()
