"""What people see when something goes wrong."""

import logging
from http import HTTPStatus

from quart import Quart, Response
from quart.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from payments_core.http.problems import Problem
from payments_ui.api.client import ApiProblem, ApiUnavailable, KeyNotAccepted
from payments_ui.web.csrf import CsrfFailed
from payments_ui.web.responses import render

RETRY_SECONDS = 5  # When a page that the API could not fill asks again.
log = logging.getLogger(__name__)


async def error_page(status: int, title: str, detail: str, retry: bool = False) -> Response:
    """A page with its own status, the way out of it, and whether it tries again by itself."""
    headers = {"Retry-After": str(RETRY_SECONDS)} if retry else {}
    return await render(
        "error.html", status, headers, code=status, title=title, detail=detail, retry=retry
    )


async def form_expired_page(_: CsrfFailed) -> Response:
    """Refuse a form whose token does not hold."""
    return await error_page(
        403,
        "This form has expired",
        "The page was restarted, you signed in again, or another site sent the form. Nothing was "
        "changed. Go back, reload the page and send the form again.",
    )


def install_error_pages(app: Quart) -> None:
    """One handler for each kind of error."""

    @app.errorhandler(ApiUnavailable)
    async def unavailable(error: ApiUnavailable) -> ResponseReturnValue:
        return await error_page(
            503, "The payments service is not answering", f"It {error.why}.", retry=True
        )

    @app.errorhandler(KeyNotAccepted)
    async def key_not_accepted(_: KeyNotAccepted) -> ResponseReturnValue:
        return await error_page(
            503,
            "This page's key is not accepted",
            "The page has a key of its own to the payments service, and that one is unknown, "
            "revoked, expired, or allowed too little. It is nothing that you did, and nothing was "
            "changed. Whoever runs this page has to give it another key.",
            retry=True,
        )

    @app.errorhandler(ApiProblem)
    async def refused(problem: ApiProblem) -> ResponseReturnValue:
        titles = {
            "payment_not_found": "There is no such payment",
            "job_not_found": "There is no such job",
            "invalid_cursor": "This address leads nowhere",
        }
        title = titles.get(problem.code, problem.title.rstrip("."))
        return await error_page(problem.status, title, problem.detail)

    app.register_error_handler(CsrfFailed, form_expired_page)

    @app.errorhandler(Problem)
    async def of_the_floor_below(problem: Problem) -> ResponseReturnValue:
        return problem.as_response()  # Probes ask for these, not people.

    @app.errorhandler(HTTPException)
    async def of_the_framework(error: HTTPException) -> ResponseReturnValue:
        status = error.code or 500
        if 300 <= status < 400:
            return error.get_response()  # A redirect.
        if status == 404:
            return await error_page(404, "There is nothing here", "Check the address.")
        return await error_page(status, HTTPStatus(status).phrase, error.description or "")

    @app.errorhandler(Exception)
    async def unforeseen(error: Exception) -> ResponseReturnValue:
        log.error("request_failed", exc_info=error)
        return await error_page(
            500, "Something went wrong on our side", "Nothing is half-done; try again."
        )
