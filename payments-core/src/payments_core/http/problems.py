"""Errors over HTTP: RFC 9457 problem details, each with a stable code."""

import json
from http import HTTPStatus
from typing import Any

from quart import Quart, Response, has_request_context, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge

from payments_core.http.answer import Answer

PROBLEM_TYPE = "application/problem+json"


class Problem(Exception):
    """The root of the errors that a client may see; a subclass's docstring is its title.

    `detail` says how to correct the request; `errors` names fields: [{"field", "detail"}].
    """

    status = 500
    code = "internal_error"

    def __init__(
        self,
        detail: str = "",
        *,
        errors: list[dict[str, str]] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail or self.title())
        self.detail = detail
        self.errors = errors
        self.headers = headers or {}

    @classmethod
    def title(cls) -> str:
        """Return the first line of the docstring."""
        return (cls.__doc__ or cls.__name__).strip().splitlines()[0]

    def as_json(self, instance: str | None = None) -> dict[str, Any]:
        """Return the problem object; `instance` is the request's path."""
        body: dict[str, Any] = {
            "type": f"urn:payments:problem:{self.code}",
            "title": HTTPStatus(self.status).phrase if type(self) is Problem else self.title(),
            "status": self.status,
            "code": self.code,
        }
        if self.detail:
            body["detail"] = self.detail
        if instance:
            body["instance"] = instance
        if self.errors:
            body["errors"] = self.errors
        return body

    def as_answer(self, instance: str | None = None) -> Answer:
        """Return the HTTP answer; `instance` is the request's path."""
        text = json.dumps(self.as_json(instance), ensure_ascii=False)
        headers = {"Content-Type": PROBLEM_TYPE, **self.headers}
        # A quoted field name may hold an unpaired surrogate.
        return Answer(self.status, headers, text.encode(errors="replace"))

    def as_response(self) -> Response:
        """Return the answer to the current request, for Quart."""
        # A refused web socket has no request context.
        return self.as_answer(request.path if has_request_context() else None).as_response()


class InternalError(Problem):
    """An internal error occurred; nothing was stored in part, and retrying is safe."""


class NotFound(Problem):
    """No resource exists at this path."""

    status, code = 404, "not_found"


class MethodIsNotAllowed(Problem):
    """The resource does not support this method."""

    status, code = 405, "method_not_allowed"


class PayloadTooLarge(Problem):
    """The request body exceeds the limit."""

    status, code = 413, "payload_too_large"


class NotReady(Problem):
    """This process is not ready to serve requests; another replica may be."""

    status, code = 503, "not_ready"


def install_problem_handlers(app: Quart) -> None:
    """Answer every error of the app, the framework's included, with a problem document."""

    @app.errorhandler(Problem)
    async def of_ours(error: Problem) -> Response:
        return error.as_response()

    @app.errorhandler(HTTPException)
    async def of_the_framework(error: HTTPException) -> Response:
        if isinstance(error, MethodNotAllowed):
            allow = ", ".join(sorted(error.valid_methods or ()))
            return MethodIsNotAllowed(f"Use {allow}.", headers={"Allow": allow}).as_response()
        if isinstance(error, RequestEntityTooLarge):
            return PayloadTooLarge().as_response()
        status = error.code or 500
        if status == 404:
            return NotFound().as_response()
        if status == 500:
            return InternalError().as_response()
        problem = Problem(error.description or "")
        problem.status = status
        problem.code = HTTPStatus(status).phrase.lower().replace(" ", "_")
        location = getattr(error, "new_url", None)
        if location:
            problem.headers["Location"] = location
        return problem.as_response()

    @app.errorhandler(Exception)
    async def of_nobody(error: Exception) -> Response:
        # The cause goes to the log, never to the client.
        app.logger.error("request_failed", exc_info=error)
        return InternalError().as_response()
