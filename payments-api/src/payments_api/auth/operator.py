"""The operator on record for an action: named by the page, else the API key itself."""

from urllib.parse import unquote_to_bytes

from quart import request

from payments_api.auth.caller import JOBS_ADMIN, Caller
from payments_api.auth.middleware import caller
from payments_api.http.errors import Forbidden, ValidationFailed
from payments_api.http.messages import HeaderFields, header_fields
from payments_core.audit_log import Operator
from payments_core.domain.statuses import OPERATOR_MAX_CHARS
from payments_core.observability.trace_context import current_trace_id

OPERATOR_HEADER = b"payments-operator"  # Percent-encoded UTF-8: a header's own text is ASCII.
_NAME = "Payments-Operator"


def named_operator(fields: HeaderFields, sender: Caller) -> Operator | None:
    """Return the operator whom the header names, or None without the header.

    Raises Forbidden if the caller's key may not name operators, ValidationFailed.
    """
    encoded = fields.get(OPERATOR_HEADER)
    if encoded is None:
        return None
    if JOBS_ADMIN not in sender.scopes:
        raise Forbidden(JOBS_ADMIN)
    try:
        name = unquote_to_bytes(encoded).decode().strip()
    except UnicodeDecodeError:
        name = ""
    if not 1 <= len(name) <= OPERATOR_MAX_CHARS or not name.isprintable():
        raise ValidationFailed.of(
            _NAME, f"must be 1 to {OPERATOR_MAX_CHARS} characters, percent-encoded UTF-8"
        )
    return _operator(name, sender)


def acting_operator(actor: str | None) -> Operator:
    """Return the operator of the request: named by its header, else by `actor`, else by its key.

    Raises Forbidden, ValidationFailed.
    """
    named, sender = _named(), caller()
    if named is not None:
        return named
    if actor is None and sender.key_id is None:
        raise ValidationFailed.of("actor", "is required: name the operator")
    return _operator(actor or sender.name, sender)


def deciding_person(actor: str | None) -> Operator:
    """Return the person whom a rule of two people counts: named by the header, else the key itself.

    A key cannot name another person in the body, or one key could propose and approve. With
    authentication off the body names the person. Raises Forbidden, ValidationFailed.
    """
    if actor is not None and caller().key_id is not None:
        raise ValidationFailed.of("actor", "must be absent: the key itself is on record")
    return acting_operator(actor)


def acting_sender() -> Operator:
    """Return the operator of the request: named by its header, else by its key.

    With authentication off, a request without the header is on record as anonymous.
    Raises Forbidden, ValidationFailed.
    """
    sender = caller()
    return _named() or _operator(sender.name, sender)


def _named() -> Operator | None:
    return named_operator(header_fields(request.scope["headers"]), caller())


def _operator(name: str, sender: Caller) -> Operator:
    return Operator(name, sender.name if sender.key_id else None, current_trace_id())
