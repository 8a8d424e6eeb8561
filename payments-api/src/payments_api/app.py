"""The API's composition: every route on one screen, and what they share."""

import asyncio
import hashlib
from collections.abc import Coroutine
from typing import Any, cast

import asyncpg
from quart import Quart, Response
from quart.typing import ResponseTypes
from sqlalchemy.exc import SQLAlchemyError

from payments_api import metrics
from payments_api.accounts.routes import accounts
from payments_api.auth.key_cache import KeyRing
from payments_api.auth.middleware import control_access
from payments_api.events.feed import EventFeed
from payments_api.events.routes import events
from payments_api.http.converters import IdentifierConverter
from payments_api.http.errors import DatabaseUnavailable
from payments_api.http.json_body import BATCH_BODY_MAX_BYTES
from payments_api.http.pagination import CursorSigner
from payments_api.http.read_again import retry_reads
from payments_api.limits.admission import admit_requests
from payments_api.limits.client_limits import ClientLimits
from payments_api.openapi.routes import documents
from payments_api.operations.activity import operator_actions
from payments_api.operations.routes import jobs
from payments_api.payments.fast_path import QuickCreations
from payments_api.payments.routes import payments
from payments_api.payments.writer import PaymentWriter
from payments_api.services import EXTENSION, Services
from payments_api.settings import ApiSettings
from payments_core.command_line import check_sign_in
from payments_core.db.engine import (
    create_engine,
    is_unavailable,
    single_statement,
)
from payments_core.db.schema_version import schema_problem
from payments_core.db.sessions import DatabaseReadOnly, prove_writable
from payments_core.db.telemetry import show_pool
from payments_core.db.tls import DatabaseTlsError, warn_without_tls
from payments_core.db.url import dsn_with_password
from payments_core.http.control import control_blueprint
from payments_core.http.problems import InternalError, install_problem_handlers
from payments_core.http.telemetry import observe_http
from payments_core.observability.logs import configure_logs
from payments_core.observability.metrics import show_build
from payments_core.observability.tracing import tracing
from payments_core.queue.notify import Notifier
from payments_core.queue.system_metrics import observe_system
from payments_core.server.options import Lifecycle, ServeOptions
from payments_core.server.run import serve

# Of the pool, besides a connection for each write lane: one for notices, one for the event feed
# and the API keys, one for operators and readiness.
RESERVED_CONNECTIONS = 3
ADMISSION = "payments_api.limits.admission"  # In the app's extensions.


def create_app(settings: ApiSettings, lifecycle: Lifecycle | None = None) -> Quart:
    """The API as an ASGI app; its background work starts and stops with its serving."""
    app = Quart(__name__)
    app.url_map.strict_slashes = False
    app.url_map.converters["id"] = IdentifierConverter
    # Answers keep the order in which the documents name their fields.
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.config["MAX_CONTENT_LENGTH"] = BATCH_BODY_MAX_BYTES
    here = _make_services(settings, lifecycle or Lifecycle())
    app.extensions[EXTENSION] = here
    cast(Any, app).asgi_app = QuickCreations(app.asgi_app, here)
    observe_http(app)
    for blueprint in (payments, events, accounts, jobs, operator_actions, documents):
        app.register_blueprint(blueprint)
    app.register_blueprint(control_blueprint(here.lifecycle, _readiness(here)))
    retry_reads(app)
    control_access(app)
    install_problem_handlers(app)
    _install_database_errors(app)
    app.after_request(_never_cached)
    _install_background_work(app, here, settings)
    admission = app.extensions[ADMISSION] = admit_requests(app, settings, here.limits)
    metrics.ADMITTED_MAX.labels("write").set_function(lambda: admission.writes.limit)
    metrics.ADMITTED_MAX.labels("read").set_function(lambda: admission.reads.limit)
    return app


def _make_services(settings: ApiSettings, lifecycle: Lifecycle) -> Services:
    dsn = dsn_with_password(settings.database_url, settings.database_password_file)
    warn_without_tls(dsn)
    engine = create_engine(dsn, application_name="payments-api", pool_size=settings.pool_size)
    notifier = Notifier(engine)
    return Services(
        engine=engine,
        notifier=notifier,
        writer=PaymentWriter(engine, notifier, settings.waiting_creates_max),
        events=EventFeed(
            engine, dsn, settings.event_readers_max, settings.event_readers_per_address_max
        ),
        cursors=CursorSigner(settings.cursor_key or hashlib.sha256(dsn.encode()).hexdigest()),
        lifecycle=lifecycle,
        limits=ClientLimits(settings),
        reading=asyncio.Semaphore(
            max(1, settings.pool_size - settings.write_lanes - RESERVED_CONNECTIONS)
        ),
        keys=KeyRing(engine) if settings.auth == "on" else None,
    )


def _readiness(here: Services) -> Any:
    async def not_ready_because() -> str | None:
        try:
            async with single_statement(here.engine) as connection:
                await prove_writable(connection)
                problem = await schema_problem(connection)
        except DatabaseTlsError as error:
            return f"The database is not connected to: {error}."
        except DatabaseReadOnly as error:
            return str(error)
        except Exception as error:  # Whatever it is, this process cannot serve for now.
            return f"The database does not answer: {type(error).__name__}."
        if problem is not None:
            return problem
        if here.keys is not None and not here.keys.fresh:
            return "The API keys are not read yet."
        return None

    return not_ready_because


async def _never_cached(response: ResponseTypes) -> ResponseTypes:
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def _install_database_errors(app: Quart) -> None:
    @app.errorhandler(SQLAlchemyError)
    @app.errorhandler(OSError)
    @app.errorhandler(asyncpg.InterfaceError)
    @app.errorhandler(asyncpg.InternalClientError)
    async def of_the_database(error: Exception) -> Response:
        if is_unavailable(error):
            return DatabaseUnavailable().as_response()
        app.logger.error("request_failed", exc_info=error)
        return InternalError().as_response()


def _install_background_work(app: Quart, here: Services, settings: ApiSettings) -> None:
    tasks: set[asyncio.Task[None]] = set()

    def start(work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        tasks.add(task)
        # Without its writer the API would take payments and never answer: end instead.
        task.add_done_callback(lambda _ended: here.lifecycle.stopping.set())

    @app.before_serving
    async def begin() -> None:
        for _ in range(settings.write_lanes):
            start(here.writer.run())
        start(here.notifier.run())
        start(here.events.run())
        if here.keys is not None:
            start(here.keys.run())

    @app.after_serving
    async def end() -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await here.engine.dispose()


def serve_options(settings: ApiSettings, app: Quart) -> ServeOptions:
    """How the app is to be served."""
    return ServeOptions(
        settings.host,
        settings.port,
        settings.drain_seconds,
        settings.shutdown_delay_seconds,
        settings.connections_max,
        settings.reuse_port,
    )


async def serve_api(settings: ApiSettings) -> None:
    """Serve until SIGTERM or SIGINT."""
    configure_logs("payments-api", settings.log_level, settings.log_format)
    await check_sign_in(dsn_with_password(settings.database_url, settings.database_password_file))
    lifecycle = Lifecycle()
    with tracing("payments-api", show_build("payments-api")):
        app = create_app(settings, lifecycle)
        observing = asyncio.create_task(_show_system(app.extensions[EXTENSION]))
        try:
            await serve(app, serve_options(settings, app), lifecycle)
        finally:
            observing.cancel()


async def _show_system(here: Services) -> None:
    """What /metrics shows beyond counts: this process's gauges, and those of the system."""
    show_pool(here.engine)
    metrics.WAITING.set_function(lambda: here.writer.waiting)
    metrics.EVENT_READERS.set_function(lambda: here.events.readers)
    await observe_system(here.engine)
