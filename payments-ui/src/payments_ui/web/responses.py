"""Responses: a template as a page or a fragment, and a redirect after a form."""

from collections.abc import Mapping
from typing import Any, cast

from quart import Response, make_response, redirect, render_template, request, session


def from_htmx() -> bool:
    """Whether htmx sent the request and expects a fragment."""
    return request.headers.get("HX-Request") == "true"


def see_other(path: str) -> Response:
    """Redirect to a page with GET, whatever the method of the request."""
    return cast("Response", redirect(path, 303))


def leave_with(message: str, path: str) -> Response:
    """Lead to a page that shows the message once; htmx replaces the whole page."""
    session["flash"] = message
    if from_htmx():
        return Response("", 200, {"HX-Redirect": path})
    return see_other(path)


def flash() -> str | None:
    """Return the message of the action before, once; a fragment has no place for it."""
    return None if from_htmx() else session.pop("flash", None)


async def render(
    template: str,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **context: Any,
) -> Response:
    """Render the template as a whole page, or without its frame for htmx."""
    html = await render_template(template, partial=from_htmx(), **context)
    response = cast("Response", await make_response(html, status, dict(headers or {})))
    response.headers["Vary"] = "HX-Request, Cookie"
    return response
