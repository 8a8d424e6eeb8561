"""Error pages."""

import logging
from http import HTTPStatus

from quart import Quart, Response
from quart.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from payments_core.http.problems import Problem
from payments_ui.api.errors import ApiProblem, ApiUnavailable, KeyNotAccepted
from payments_ui.web.csrf import CsrfFailed
from payments_ui.web.responses import render

RETRY_SECONDS = 5  # Before a page that the API could not fill reloads.
log = logging.getLogger(__name__)


async def error_page(status: int, title: str, detail: str, retry: bool = False) -> Response:
    """Return an error page with links to go on; with `retry` it reloads itself."""
    headers = {"Retry-After": str(RETRY_SECONDS)} if retry else {}
    return await render(
        "error.html", status, headers, code=status, title=title, detail=detail, retry=retry
    )


async def form_expired_page(_: CsrfFailed) -> Response:
    """Reject a form whose token is invalid."""
    return await error_page(
        403,
        "This form has expired",
        "The page was restarted, you signed in again, or another site sent the form. Nothing was "
        "changed. Go back, reload the page and send the form again.",
    )


async def _unavailable(error: ApiUnavailable) -> ResponseReturnValue:
    return await error_page(
        503,
        "The payments service is not answering",
        f"The payments service {error.why}.",
        retry=True,
    )


async def _key_not_accepted(_: KeyNotAccepted) -> ResponseReturnValue:
    return await error_page(
        503,
        "The page's API key is not accepted",
        "The page's own key to the payments service is unknown, revoked or expired, or lacks a "
        "scope. Nothing was changed. The administrator of this page has to configure a valid "
        "key.",
        retry=True,
    )


async def _refused(problem: ApiProblem) -> ResponseReturnValue:
    titles = {
        "payment_not_found": "Payment not found",
        "job_not_found": "Job not found",
        "webhook_not_found": "Webhook not found",
        "delivery_not_found": "Delivery not found",
        "invalid_cursor": "Invalid page link",
    }
    title = titles.get(problem.code, problem.title.rstrip("."))
    return await error_page(problem.status, title, problem.detail)


async def _control_problem(problem: Problem) -> ResponseReturnValue:
    return problem.as_response()  # Paths of probes and metrics, which no browser shows.


async def _framework_error(error: HTTPException) -> ResponseReturnValue:
    status = error.code or 500
    if 300 <= status < 400:
        return error.get_response()  # A redirect.
    if status == 404:
        return await error_page(404, "Page not found", "Check the address.")
    return await error_page(status, HTTPStatus(status).phrase, error.description or "")


async def _unexpected(error: Exception) -> ResponseReturnValue:
    log.error("request_failed", exc_info=error)
    return await error_page(
        500,
        "Internal error",
        "The page failed; the log has the details. A payment or action may have been recorded: "
        "check before you repeat it.",
    )


def install_error_pages(app: Quart) -> None:
    """Handle every kind of error that requests raise."""
    app.register_error_handler(CsrfFailed, form_expired_page)
    app.register_error_handler(ApiUnavailable, _unavailable)
    app.register_error_handler(KeyNotAccepted, _key_not_accepted)
    app.register_error_handler(ApiProblem, _refused)
    app.register_error_handler(Problem, _control_problem)
    app.register_error_handler(HTTPException, _framework_error)
    app.register_error_handler(Exception, _unexpected)
