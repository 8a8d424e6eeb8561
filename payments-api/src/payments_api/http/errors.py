"""The errors that clients of the API may see: one tree, in which a docstring is the title."""

from payments_core.http.problems import Problem


class Unauthorized(Problem):
    """The request needs a valid API key."""

    status, code = 401, "unauthorized"

    def __init__(self, detail: str = "", *, invalid: bool = False) -> None:
        # RFC 6750, 3.1: a request without credentials gets no error code.
        error = ', error="invalid_token"' if invalid else ""
        super().__init__(detail, headers={"WWW-Authenticate": f'Bearer realm="payments"{error}'})


class Forbidden(Problem):
    """The API key lacks the scope for this request."""

    status, code = 403, "forbidden"

    def __init__(self, scope: str) -> None:
        challenge = f'Bearer realm="payments", error="insufficient_scope", scope="{scope}"'
        detail = f"Use an API key with the scope {scope}."
        super().__init__(detail, headers={"WWW-Authenticate": challenge})


class MalformedJson(Problem):
    """The body is not a JSON object in UTF-8."""

    status, code = 400, "malformed_json"


class RequestTooSlow(Problem):
    """The body did not arrive in time."""

    status, code = 408, "request_timeout"


class UnsupportedMediaType(Problem):
    """The route does not accept the media type or encoding of the body."""

    status, code = 415, "unsupported_media_type"


class ValidationFailed(Problem):
    """Some fields are invalid; nothing was stored."""

    status, code = 422, "validation_error"

    @classmethod
    def of(cls, field: str, detail: str) -> "ValidationFailed":
        """Return the error of one field."""
        return cls(f"{field} {detail}.", errors=[{"field": field, "detail": detail}])


class IdempotencyKeyMissing(Problem):
    """The request needs an idempotency key."""

    status, code = 400, "idempotency_key_missing"


class IdempotencyKeyInvalid(Problem):
    """The idempotency key is invalid: it must be 1 to 255 visible ASCII characters, sent once."""

    status, code = 400, "idempotency_key_invalid"


class IdempotencyKeyReused(Problem):
    """The idempotency key was used before with a different body."""

    status, code = 422, "idempotency_key_reused"


class InvalidCursor(Problem):
    """The cursor does not belong to this list with these filters."""

    status, code = 400, "invalid_cursor"


class PaymentNotFound(Problem):
    """No payment has this id."""

    status, code = 404, "payment_not_found"


class PaymentNotCompleted(Problem):
    """Only a completed payment can be reversed."""

    status, code = 409, "payment_not_completed"


class ReversalExceedsPayment(Problem):
    """The reversals of a payment must not exceed its amount."""

    status, code = 409, "reversal_exceeds_payment"


class ReversalNotFound(Problem):
    """No reversal has this id."""

    status, code = 404, "reversal_not_found"


class JobNotFound(Problem):
    """No job has this id; finished jobs are pruned after a retention period."""

    status, code = 404, "job_not_found"


class JobNotDead(Problem):
    """Only a dead letter can be replayed or discarded."""

    status, code = 409, "job_not_dead"


class SourceNotFound(Problem):
    """No source of statements has this name."""

    status, code = 404, "source_not_found"


class SourceExists(Problem):
    """A source of statements with this name exists: choose another name."""

    status, code = 409, "source_exists"


class StatementNotFound(Problem):
    """No statement file has this id."""

    status, code = 404, "statement_not_found"


class StatementNotQuarantined(Problem):
    """Only a quarantined statement file can be accepted or rejected."""

    status, code = 409, "statement_not_quarantined"


class StatementNotAcceptable(Problem):
    """The problem of this statement file cannot be accepted: correct the file or the source."""

    status, code = 409, "statement_not_acceptable"


class TooManyStatements(Problem):
    """The tenant has reached its upload quota of 24 hours."""

    status, code = 429, "too_many_statements"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail, headers={"Retry-After": "3600"})


class StorageFull(Problem):
    """The database's disk is full; nothing of the file was stored."""

    status, code = 507, "storage_full"


class LineNotFound(Problem):
    """No line of this source has this id."""

    status, code = 404, "line_not_found"


class MatchNotFound(Problem):
    """No match of this source has this id."""

    status, code = 404, "match_not_found"


class BreakNotFound(Problem):
    """No break of this source has this id."""

    status, code = 404, "break_not_found"


class MatchRefused(Problem):
    """The state of these lines and entries does not allow this action."""

    status, code = 409, "match_refused"


class AdjustmentNotFound(Problem):
    """No adjustment of this source has this id."""

    status, code = 404, "adjustment_not_found"


class ApproverIsProposer(Problem):
    """The person who proposed the adjustment cannot approve it: another person must."""

    status, code = 409, "approver_is_proposer"


class WebhookNotFound(Problem):
    """No webhook endpoint has this id."""

    status, code = 404, "webhook_not_found"


class DeliveryNotFound(Problem):
    """No webhook delivery has this id; finished deliveries are deleted after 30 days."""

    status, code = 404, "delivery_not_found"


class WebhookDisabled(Problem):
    """The webhook endpoint is disabled: enable it first."""

    status, code = 409, "webhook_disabled"


class TooManyWebhooks(Problem):
    """There are too many webhook endpoints: delete unused ones."""

    status, code = 409, "too_many_webhooks"


class TooManyTests(Problem):
    """The webhook endpoint has reached its limit of 20 test events an hour."""

    status, code = 429, "too_many_tests"

    def __init__(self, seconds: int = 60) -> None:
        super().__init__("", headers={"Retry-After": str(seconds)})


class Overloaded(Problem):
    """The API is overloaded; retry shortly with the same idempotency key."""

    status, code = 503, "overloaded"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail, headers={"Retry-After": "1"})


class DatabaseUnavailable(Problem):
    """The database is unavailable; retrying with the same idempotency key is safe."""

    status, code = 503, "database_unavailable"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail, headers={"Retry-After": "2"})


class EventsNotFinal(Problem):
    """A transaction in progress may still add an earlier event; retry shortly."""

    status, code = 503, "events_not_final"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail, headers={"Retry-After": "1"})


class BalanceNotFinal(Problem):
    """A posting in progress may still change the balance at this time; retry shortly."""

    status, code = 503, "balance_not_final"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail, headers={"Retry-After": "1"})


class RateLimited(Problem):
    """The client exceeded its rate limit; retry later with the same idempotency key."""

    status, code = 429, "rate_limited"


class TooManyStreams(Problem):
    """The client's address or API key has too many event streams open."""

    status, code = 429, "too_many_streams"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail, headers={"Retry-After": "5"})
