"""Who acts: the page names the operator behind its key, anybody else acts in their key's name."""

from urllib.parse import unquote_to_bytes

from quart import request

from payments_api.auth.caller import JOBS_ADMIN
from payments_api.auth.middleware import caller
from payments_api.http.errors import Forbidden, ValidationFailed
from payments_core.audit_log import Operator
from payments_core.domain.statuses import OPERATOR_MAX_CHARS
from payments_core.observability.tracing import current_trace_id

OPERATOR_HEADER = "Payments-Operator"  # Percent-encoded UTF-8: a header's own text is ASCII.


def named_operator() -> Operator | None:
    """Whom the header names; None without it.

    Raises Forbidden where the key may not speak for operators, ValidationFailed.
    """
    said = request.headers.get(OPERATOR_HEADER)
    if said is None:
        return None
    if JOBS_ADMIN not in caller().scopes:
        raise Forbidden(JOBS_ADMIN)
    try:
        name = unquote_to_bytes(said).decode().strip()
    except UnicodeDecodeError:
        name = ""
    if not 1 <= len(name) <= OPERATOR_MAX_CHARS or not name.isprintable():
        raise ValidationFailed.of(
            OPERATOR_HEADER, f"must be 1 to {OPERATOR_MAX_CHARS} characters, percent-encoded UTF-8"
        )
    return _operator(name)


def operator_of(actor: str | None) -> Operator:
    """Who acts: whom the header names, else whom the body does, else the key's own name.

    Raises Forbidden, ValidationFailed.
    """
    named = named_operator()
    if named is not None:
        return named
    if actor is None and caller().key_id is None:
        raise ValidationFailed.of("actor", "must say who you are")
    return _operator(actor or caller().name)


def _operator(name: str) -> Operator:
    who = caller()
    return Operator(name, who.name if who.key_id else None, current_trace_id())
