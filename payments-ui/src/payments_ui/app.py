"""The composition of the page: every route on one screen."""

import logging
import secrets
from datetime import timedelta
from functools import partial

import httpx2
from quart import Quart

from payments_core.domain.money import currencies
from payments_core.domain.payments import DESCRIPTION_MAX_CHARS
from payments_core.http.control import control_blueprint
from payments_core.http.edge import Edge
from payments_core.http.hosts import AllowedHosts
from payments_core.http.telemetry import HttpTelemetry, install_layers
from payments_core.http.uploads import PacedUploads, StreamingRequest
from payments_core.server.options import Lifecycle
from payments_core.supervise import Supervisor
from payments_ui.accounts import routes as accounts
from payments_ui.accounts.view import account_views, read_account
from payments_ui.activity import routes as activity
from payments_ui.api.client import ApiClient, api_client
from payments_ui.api.or_none import or_none
from payments_ui.api.shared_read import SharedRead, SharedReads
from payments_ui.api.types import Payment, PaymentPage
from payments_ui.help import routes as help_
from payments_ui.help.documents import VERSION, Documents
from payments_ui.live import routes as live
from payments_ui.live.feed import LiveFeed, Render, live_feed
from payments_ui.operate import routes as operate
from payments_ui.operate.view import (
    RANGES,
    dead_letter_groups,
    read_attention,
    read_overview,
    read_throughput,
    shared_attention,
    shared_overview,
    throughput_charts,
)
from payments_ui.payments import reversing
from payments_ui.payments import routes as payments
from payments_ui.payments.filters import OUTCOMES
from payments_ui.payments.view import newest_payments
from payments_ui.settings import Settings
from payments_ui.sign_in import routes as sign_in
from payments_ui.sign_in.errors import install_sign_in_errors
from payments_ui.sign_in.guard import SignIn, guard, session_id
from payments_ui.statements import acts as statement_acts
from payments_ui.statements import routes as statements
from payments_ui.statements.acts import UPLOAD_PATH
from payments_ui.web import formatting
from payments_ui.web.assets import install_assets
from payments_ui.web.cookies import cookie_name
from payments_ui.web.csrf import protect
from payments_ui.web.errors import install_error_pages
from payments_ui.webhooks import routes as webhooks

FORM_BYTES_MAX = 64 * 1024
REMEMBERED_DAYS = 90  # For the operator's name.
NEWEST_FRESH_SECONDS = 0.3  # Many pages that refetch at the same time cost the API one read.
OVERVIEW_FRESH_SECONDS = 1.0
ACCOUNTS_KEPT_MAX = 256  # Answers that pages of accounts share; each is about 50 KB.
COMMON_CURRENCIES = ("USD", "EUR", "GBP", "CHF", "JPY", "CAD", "AUD", "SEK")

log = logging.getLogger(__name__)


def create_app(
    settings: Settings,
    lifecycle: Lifecycle | None = None,
    transport: httpx2.AsyncBaseTransport | None = None,
) -> Quart:
    """Return the app; unit tests replace payments-api by `transport`."""
    lifecycle = lifecycle or Lifecycle()
    app = Quart(__name__)
    app.request_class = StreamingRequest
    # A redirect to another spelling would repeat the client's Host.
    app.url_map.strict_slashes = app.url_map.merge_slashes = False
    _configure(app, settings)
    client = ApiClient(settings, transport)
    feed = LiveFeed(
        client.http, _row_renderer(app), settings.live_interval_seconds, settings.live_pages_max
    )

    _install_objects(app, client, feed)
    app.register_blueprint(payments.blueprint)  # / /payments /payments/ID /payments.csv /search
    app.register_blueprint(reversing.blueprint)  # /payments/ID/reverse
    app.register_blueprint(accounts.blueprint)  # /accounts/ID, its statement.csv
    app.register_blueprint(statements.blueprint)  # /statements, its sources and files
    app.register_blueprint(statement_acts.blueprint)  # What operators do about them.
    app.register_blueprint(operate.blueprint)  # /operate/, its confirmations
    app.register_blueprint(webhooks.blueprint)  # /webhooks, its forms, /webhooks/deliveries/ID
    app.register_blueprint(activity.blueprint)  # /activity
    app.register_blueprint(help_.blueprint)  # /help, the API's documents below /api
    app.register_blueprint(live.blueprint)  # /live
    app.register_blueprint(sign_in.blueprint)  # /sign-in, its callback, /sign-out /signed-out
    app.register_blueprint(control_blueprint(lifecycle, _ready))  # /health /readyz /metrics
    guard(
        app,
        SignIn.made(
            settings,
            str(app.secret_key),
            on_sign_out=feed.end_session,
        ),
    )
    protect(app, session_id, https=settings.https)
    install_assets(app)
    install_error_pages(app)
    install_sign_in_errors(app)
    _run_feed(app, feed, client, lifecycle)
    layers = (  # Outermost first.
        partial(Edge, hosts=_hosts(settings), control_port=settings.control_port),
        partial(PacedUploads, path=UPLOAD_PATH),
        HttpTelemetry,
    )
    install_layers(app, layers)
    return app


def _hosts(settings: Settings) -> AllowedHosts | None:
    if settings.sign_in != "off":
        return None
    return AllowedHosts(settings.allowed_hosts, any_address=settings.allow_unauthenticated_remote)


def _install_objects(app: Quart, client: ApiClient, feed: LiveFeed) -> None:
    """Give the app its client, its feed and the reads that pages share."""

    async def read_newest() -> tuple[str, PaymentPage]:
        position = (
            feed.position
        )  # Taken before the read, so that later changes arrive through the stream.
        return position, await client.payments({"limit": payments.PAGE_ROWS})

    api_client.install(app, client)
    live_feed.install(app, feed)
    newest_payments.install(app, SharedRead(read_newest, NEWEST_FRESH_SECONDS))
    shared_overview.install(app, SharedRead(lambda: read_overview(client), OVERVIEW_FRESH_SECONDS))
    throughput_charts.install(
        app,
        SharedReads(
            lambda span: read_throughput(client, span), OVERVIEW_FRESH_SECONDS, len(RANGES)
        ),
    )
    dead_letter_groups.install(
        app,
        SharedRead(lambda: or_none(client.dead_letter_groups()), OVERVIEW_FRESH_SECONDS),
    )
    shared_attention.install(
        app, SharedRead(lambda: read_attention(client), OVERVIEW_FRESH_SECONDS)
    )
    account_views.install(
        app,
        SharedReads(
            lambda place: read_account(client, feed.position, place),
            NEWEST_FRESH_SECONDS,
            ACCOUNTS_KEPT_MAX,
        ),
    )


async def _ready() -> None:
    """Always ready: if the API is down, the page is still served and reports it."""


def _configure(app: Quart, settings: Settings) -> None:
    if settings.secret_key is None:
        log.warning(
            "secret_key_generated", extra={"hint": "several replicas need PAYMENTS_UI_SECRET_KEY"}
        )
        app.secret_key = secrets.token_urlsafe(32)
    else:
        app.secret_key = settings.secret_key.get_secret_value()
    app.config.update(
        MAX_CONTENT_LENGTH=FORM_BYTES_MAX,
        SESSION_COOKIE_NAME=cookie_name("payments_ui", https=settings.https),
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.https,
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=timedelta(days=REMEMBERED_DAYS),
    )
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(
        money=formatting.money,
        time=formatting.time_tag,
        duration=formatting.duration,
        age=formatting.age,
        short_id=formatting.short_id,
        day=formatting.day_text,
        capitalize_first=formatting.capitalize_first,
        foreign=formatting.foreign,
        outcome=formatting.outcome,
        done=formatting.done,
        status_text=formatting.status_text,
    )
    app.jinja_env.globals.update(
        outcomes=(*OUTCOMES, formatting.ATTENTION),
        common_currencies=COMMON_CURRENCIES,
        all_currencies=currencies(),
        trace_url=settings.trace_url,
        version=VERSION,
        document=Documents(settings.docs_url).link,
        description_max=DESCRIPTION_MAX_CHARS,
    )


def _row_renderer(app: Quart) -> Render:
    async def render_rows(changed: list[Payment]) -> str:
        return await app.jinja_env.get_template("payment_rows.html").render_async(payments=changed)

    return render_rows


def _run_feed(app: Quart, feed: LiveFeed, client: ApiClient, lifecycle: Lifecycle) -> None:
    """Run the feed while the app is served; a stop ends the pages' streams."""
    tasks = Supervisor(lifecycle)

    async def close_on_stop() -> None:
        await lifecycle.stopping.wait()
        feed.close()

    @app.before_serving
    async def start() -> None:
        tasks.start("live-feed", feed.run())
        tasks.start("stream-closer", close_on_stop())

    @app.after_serving
    async def stop() -> None:
        feed.close()
        await tasks.stop()
        await client.close()
