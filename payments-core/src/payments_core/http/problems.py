"""Errors over HTTP: RFC 9457 problem details, each with a stable code."""

import json
from http import HTTPStatus
from typing import Any

from quart import Quart, Response, has_request_context, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge

PROBLEM_TYPE = "application/problem+json"


class Problem(Exception):
    """The root of the errors a client may see; a subclass's docstring is its title.

    `detail` says what to do about this one; `errors` names fields: [{"field", "detail"}].
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
        """The first line of the docstring."""
        return (cls.__doc__ or cls.__name__).strip().splitlines()[0]

    def as_json(self, instance: str | None = None) -> dict[str, Any]:
        """The problem object; `instance` is the path it happened at."""
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

    def as_bytes(self, instance: str | None = None) -> bytes:
        """The same as it is sent."""
        text = json.dumps(self.as_json(instance), ensure_ascii=False)
        # A field's name that is quoted back may hold half of a surrogate pair.
        return text.encode(errors="replace")

    def as_response(self) -> Response:
        """The HTTP answer, never cached."""
        # A web socket that is refused has no request of its own.
        instance = request.path if has_request_context() else None
        return Response(
            self.as_bytes(instance),
            status=self.status,
            content_type=PROBLEM_TYPE,
            headers={"Cache-Control": "no-store", **self.headers},
        )


class InternalError(Problem):
    """Something went wrong on our side; nothing is half-done, and trying again is safe."""


class NotFound(Problem):
    """Nothing is at this address."""

    status, code = 404, "not_found"


class MethodIsNotAllowed(Problem):
    """This address does not answer that method."""

    status, code = 405, "method_not_allowed"


class PayloadTooLarge(Problem):
    """The request is larger than this address takes."""

    status, code = 413, "payload_too_large"


class NotReady(Problem):
    """This process is not ready to serve; another one may be."""

    status, code = 503, "not_ready"


def install_problem_handlers(app: Quart) -> None:
    """Make every error of the app, the framework's own included, a problem document."""

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
        # What happened goes to the log and never to the client.
        app.logger.error("request_failed", exc_info=error)
        return InternalError().as_response()
