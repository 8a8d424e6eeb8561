"""The API's composition: every blueprint and middleware layer on one screen."""

import asyncio
import hashlib
from functools import partial
from typing import Any

import asyncpg
from quart import Quart, Response
from quart.typing import ResponseTypes
from sqlalchemy.exc import SQLAlchemyError

from payments_api import metrics
from payments_api.accounts.queries import open_postings_end
from payments_api.accounts.routes import accounts
from payments_api.auth.key_cache import KeyRing
from payments_api.auth.middleware import AccessControl, control_access
from payments_api.events.feed import EventFeed
from payments_api.events.reader import ReaderLimits
from payments_api.events.routes import BEFORE_ALL, events
from payments_api.http.converters import IdentifierConverter
from payments_api.http.errors import DatabaseUnavailable
from payments_api.http.json_body import BATCH_BODY_MAX_BYTES
from payments_api.http.pagination import CursorSigner
from payments_api.http.read_again import retry_reads
from payments_api.http.shared_search import SharedSearch
from payments_api.limits.admission import Admission
from payments_api.limits.client_limits import ClientLimits
from payments_api.matching.acts import matching_acts
from payments_api.matching.adjustments import adjustments
from payments_api.matching.routes import matching
from payments_api.openapi.routes import documents
from payments_api.operations.operator_actions import operator_actions
from payments_api.operations.routes import jobs
from payments_api.payments.fast_path import FastPath
from payments_api.payments.routes import payments
from payments_api.payments.writer import PaymentWriter
from payments_api.reversals.routes import reversals
from payments_api.services import EXTENSION, Services
from payments_api.settings import ApiSettings
from payments_api.statements.routes import BYTES_MAX, QUOTA, statements
from payments_api.statements.upload import UPLOAD_PATH
from payments_api.webhooks.routes import webhooks
from payments_core.cli.database import check_sign_in
from payments_core.config import warn_of_unknown_variables
from payments_core.db.engine import (
    create_engine,
    is_unavailable,
    single_statement,
)
from payments_core.db.event_log import last_final_position
from payments_core.db.schema_version import schema_problem
from payments_core.db.sessions import DatabaseReadOnly, prove_writable
from payments_core.db.telemetry import register_pool_metrics
from payments_core.db.tls import DatabaseTlsError, warn_without_tls
from payments_core.db.url import dsn_with_password
from payments_core.http.control import control_blueprint
from payments_core.http.edge import Edge
from payments_core.http.hosts import AllowedHosts
from payments_core.http.problems import InternalError, install_problem_handlers
from payments_core.http.telemetry import HttpTelemetry, install_layers
from payments_core.http.uploads import PacedUploads, StreamingRequest
from payments_core.observability.logs import configure_logs
from payments_core.observability.metrics import show_build
from payments_core.observability.tracing import tracing
from payments_core.queue.notify import Notifier
from payments_core.queue.system_metrics import observe_system
from payments_core.server.options import Lifecycle, ServeOptions
from payments_core.server.run import serve
from payments_core.statements.quota import Quota
from payments_core.supervise import Supervisor


def create_app(settings: ApiSettings, lifecycle: Lifecycle | None = None) -> Quart:
    """Return the API as an ASGI app; its background work starts and stops with its serving."""
    app = Quart(__name__)
    # A redirect to another spelling would repeat the client's Host.
    app.url_map.strict_slashes = app.url_map.merge_slashes = False
    app.url_map.converters["id"] = IdentifierConverter
    # Answers keep the order in which the OpenAPI document names their fields.
    app.json.sort_keys = False  # type: ignore[attr-defined]  # Of the default provider.
    app.config["MAX_CONTENT_LENGTH"] = BATCH_BODY_MAX_BYTES
    app.config[BYTES_MAX] = settings.statement_bytes_max
    app.config[QUOTA] = Quota(settings.statement_day_bytes_max, settings.statement_day_files_max)
    app.request_class = StreamingRequest
    services = app.extensions[EXTENSION] = _make_services(settings, lifecycle or Lifecycle())
    for blueprint in (
        *(payments, reversals, events, accounts, jobs),
        *(operator_actions, statements, matching, matching_acts, adjustments),
        *(webhooks, documents),
    ):
        app.register_blueprint(blueprint)
    app.register_blueprint(control_blueprint(services.lifecycle, _readiness(services)))
    retry_reads(app)
    access = AccessControl(services.keys, services.limits)
    control_access(app, access)
    install_problem_handlers(app)
    _install_database_errors(app)
    app.after_request(_never_cached)
    _install_background_work(app, services, settings)
    layers = (  # Outermost first.
        partial(Edge, hosts=_hosts(settings), control_port=settings.control_port),
        partial(Admission, settings=settings, limits=services.limits),
        HttpTelemetry,
        partial(FastPath, access=access, writer=services.writer),
        partial(PacedUploads, path=UPLOAD_PATH),
    )
    install_layers(app, layers)
    return app


def _hosts(settings: ApiSettings) -> AllowedHosts | None:
    if settings.auth == "on":
        return None
    return AllowedHosts(settings.allowed_hosts, any_address=settings.allow_unauthenticated_remote)


def _make_services(settings: ApiSettings, lifecycle: Lifecycle) -> Services:
    dsn = dsn_with_password(settings.database_url, settings.database_password_file)
    warn_without_tls(dsn)
    engine = create_engine(dsn, application_name="payments-api", pool_size=settings.pool_size)
    notifier = Notifier(engine)
    return Services(
        engine=engine,
        notifier=notifier,
        writer=PaymentWriter(engine, notifier, settings.create_queue_max),
        events=EventFeed(
            engine,
            dsn,
            ReaderLimits(
                settings.event_readers_max,
                settings.event_readers_per_address_max,
                settings.event_readers_per_key_max,
            ),
        ),
        last_final_event=SharedSearch(engine, partial(last_final_position, after=BEFORE_ALL)),
        open_postings_ended=SharedSearch(engine, open_postings_end),
        cursors=CursorSigner(settings.cursor_key or hashlib.sha256(dsn.encode()).hexdigest()),
        lifecycle=lifecycle,
        limits=ClientLimits(settings),
        reading=asyncio.Semaphore(settings.read_connections_max),
        keys=KeyRing(engine) if settings.auth == "on" else None,
    )


def _readiness(services: Services) -> Any:
    async def not_ready_because() -> str | None:
        try:
            async with single_statement(services.engine) as connection:
                await prove_writable(connection)
                problem = await schema_problem(connection)
        except DatabaseTlsError as error:
            return f"The connection to the database failed: {error}."
        except DatabaseReadOnly as error:
            return str(error)
        except Exception as error:  # After any error, this process cannot serve.
            return f"The database does not answer: {type(error).__name__}."
        if problem is not None:
            return problem
        if services.keys is not None and not services.keys.fresh:
            return "The API keys are not loaded yet."
        return None

    return not_ready_because


async def _never_cached(response: ResponseTypes) -> ResponseTypes:
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def _install_database_errors(app: Quart) -> None:
    @app.errorhandler(SQLAlchemyError)
    @app.errorhandler(OSError)
    @app.errorhandler(asyncpg.PostgresError)
    @app.errorhandler(asyncpg.InterfaceError)
    @app.errorhandler(asyncpg.InternalClientError)
    async def answer_database_error(error: Exception) -> Response:
        if is_unavailable(error):
            return DatabaseUnavailable().as_response()
        app.logger.error("request_failed", exc_info=error)
        return InternalError().as_response()


def _install_background_work(app: Quart, services: Services, settings: ApiSettings) -> None:
    tasks = Supervisor(services.lifecycle)

    @app.before_serving
    async def begin() -> None:
        for number in range(settings.insert_concurrency):
            tasks.start(f"insert-worker-{number}", services.writer.run())
        tasks.start("notifier", services.notifier.run())
        tasks.start("event-feed", services.events.run())
        if services.keys is not None:
            tasks.start("key-refresh", services.keys.run())

    @app.after_serving
    async def end() -> None:
        await tasks.stop()
        await services.engine.dispose()


def serve_options(settings: ApiSettings) -> ServeOptions:
    """Return where to listen and how to stop."""
    return ServeOptions(
        settings.host,
        settings.port,
        drain_seconds=settings.drain_seconds,
        delay_seconds=settings.shutdown_delay_seconds,
        connections_max=settings.connections_max,
        reuse_port=settings.reuse_port,
        control_port=settings.control_port,
        streamed=frozenset({UPLOAD_PATH}),
    )


async def serve_api(settings: ApiSettings) -> None:
    """Serve until SIGTERM or SIGINT."""
    configure_logs("payments-api", settings.log_level, settings.log_format)
    warn_of_unknown_variables(settings)
    await check_sign_in(dsn_with_password(settings.database_url, settings.database_password_file))
    lifecycle = Lifecycle()
    with tracing("payments-api", show_build("payments-api")):
        app = create_app(settings, lifecycle)
        tasks = Supervisor(lifecycle)
        tasks.start("system-metrics", _observe(app.extensions[EXTENSION]))
        try:
            await serve(app, serve_options(settings), lifecycle)
        finally:
            await tasks.stop()


async def _observe(services: Services) -> None:
    """Keep the gauges of this process and of the system up to date, until cancelled."""
    register_pool_metrics(services.engine)
    metrics.WAITING.set_function(lambda: services.writer.queued)
    metrics.EVENT_READERS.set_function(lambda: services.events.readers)
    await observe_system(services.engine)
