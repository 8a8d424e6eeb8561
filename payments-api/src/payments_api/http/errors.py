"""The one tree of errors that clients of the API may see. A docstring is the title."""

from payments_api.limits.rate_limit import Standing
from payments_core.http.problems import Problem


class Unauthorized(Problem):
    """The request needs an API key that is good."""

    status, code = 401, "unauthorized"

    def __init__(self, detail: str = "", *, invalid: bool = False) -> None:
        # RFC 6750, 3.1: no error code for a request that sent nothing to be wrong.
        error = ', error="invalid_token"' if invalid else ""
        super().__init__(detail, headers={"WWW-Authenticate": f'Bearer realm="payments"{error}'})


class Forbidden(Problem):
    """The API key does not allow this."""

    status, code = 403, "forbidden"

    def __init__(self, scope: str) -> None:
        challenge = f'Bearer realm="payments", error="insufficient_scope", scope="{scope}"'
        detail = f"It needs a key with the scope {scope}."
        super().__init__(detail, headers={"WWW-Authenticate": challenge})


class MalformedJson(Problem):
    """The body is not one JSON object in UTF-8."""

    status, code = 400, "malformed_json"


class RequestTooSlow(Problem):
    """The body did not come in time."""

    status, code = 408, "request_timeout"


class UnsupportedMediaType(Problem):
    """The body must be application/json."""

    status, code = 415, "unsupported_media_type"


class ValidationFailed(Problem):
    """Some fields are not acceptable; nothing was stored."""

    status, code = 422, "validation_error"

    @classmethod
    def of(cls, field: str, detail: str) -> "ValidationFailed":
        """For one field."""
        return cls(f"{field} {detail}.", errors=[{"field": field, "detail": detail}])


class IdempotencyKeyMissing(Problem):
    """Every payment needs an Idempotency-Key header."""

    status, code = 400, "idempotency_key_missing"


class IdempotencyKeyInvalid(Problem):
    """An idempotency key is 1 to 255 visible ASCII characters, sent once."""

    status, code = 400, "idempotency_key_invalid"


class IdempotencyKeyReused(Problem):
    """This idempotency key was used before, with another body."""

    status, code = 422, "idempotency_key_reused"


class InvalidCursor(Problem):
    """The cursor is not one that this list gave out with these filters."""

    status, code = 400, "invalid_cursor"


class PaymentNotFound(Problem):
    """No payment has that id."""

    status, code = 404, "payment_not_found"


class JobNotFound(Problem):
    """No job has that id; finished jobs are pruned after a while."""

    status, code = 404, "job_not_found"


class JobNotDead(Problem):
    """Only a dead letter can be replayed or discarded."""

    status, code = 409, "job_not_dead"


class Overloaded(Problem):
    """The API has more to do than it can; try again shortly, with the same key."""

    status, code = 503, "overloaded"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail, headers={"Retry-After": "1"})


class DatabaseUnavailable(Problem):
    """The database does not answer for now; trying again with the same key is safe."""

    status, code = 503, "database_unavailable"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail, headers={"Retry-After": "2"})


class RateLimited(Problem):
    """One client asked more often than it may; try again later, with the same key."""

    status, code = 429, "rate_limited"

    @classmethod
    def because(cls, standing: Standing) -> "RateLimited":
        """With what was exceeded, and when to come back."""
        limit, wait = standing.limit, standing.retry_after or 1
        quota = limit.quota
        return cls(
            f"Each {limit.name} may send {quota.requests} requests in {quota.seconds} s;"
            f" wait {wait} s.",
            headers={"Retry-After": str(wait)},
        )


class TooManyStreams(Problem):
    """One address has as many event streams open as it may."""

    status, code = 429, "too_many_streams"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail, headers={"Retry-After": "5"})
