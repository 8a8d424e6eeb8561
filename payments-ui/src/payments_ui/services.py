"""What the handlers work with, made once by `app.create_app`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from quart import Response, current_app, make_response, redirect, render_template, request

from payments_ui.accounts.view import AccountPlace, AccountView
from payments_ui.api.client import ApiClient
from payments_ui.api.shared_read import SharedRead, SharedReads
from payments_ui.api.types import PaymentPage
from payments_ui.live.feed import LiveFeed
from payments_ui.operate.view import Overview
from payments_ui.settings import Settings


@dataclass(frozen=True)
class Services:
    """One of each per process."""

    settings: Settings
    client: ApiClient
    feed: LiveFeed
    # Where the stream stood before the read, and the newest payments.
    newest: SharedRead[tuple[str, PaymentPage]]
    overview: SharedRead[Overview]
    accounts: SharedReads[AccountPlace, AccountView]


def services() -> Services:
    """Those of the app that handles the present request."""
    return cast("Services", current_app.extensions["payments_ui"])


def from_htmx() -> bool:
    """Whether a script asks for a part of the page, or a browser for all of it."""
    return request.headers.get("HX-Request") == "true"


def see_other(place: str) -> Response:
    """On to another page, whatever was asked for here."""
    return cast("Response", redirect(place, 303))


async def render(
    template: str,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **context: Any,
) -> Response:
    """The template as a whole page, or without its frame for htmx."""
    html = await render_template(template, partial=from_htmx(), **context)
    response = cast("Response", await make_response(html, status, dict(headers or {})))
    response.headers["Vary"] = "HX-Request, Cookie"
    return response
