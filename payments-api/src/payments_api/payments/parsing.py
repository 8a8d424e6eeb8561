"""From what a client sent to a NewPayment that can be stored, or an error that says why not."""

import re
from collections.abc import Mapping
from typing import Any

from werkzeug.datastructures import Headers

from payments_api.http.errors import IdempotencyKeyInvalid, IdempotencyKeyMissing, ValidationFailed
from payments_core.domain.money import MoneyError, decimals_of, parse_amount
from payments_core.domain.payments import (
    ACCOUNT_ID_MAX_CHARS,
    DESCRIPTION_MAX_CHARS,
    IDEMPOTENCY_KEY_MAX_CHARS,
    NewPayment,
    is_account_id,
    is_system_account,
)

FIELDS = frozenset({"accountId", "amount", "currency", "description"})
DEFAULT_CURRENCY = "USD"

_VISIBLE = re.compile(r"[!-~]*\Z")
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")

Errors = list[dict[str, str]]


def parse_payment(body: Mapping[str, Any], idempotency_key: str) -> NewPayment:
    """A checked and normalised order. Raises ValidationFailed, naming every wrong field."""
    errors: Errors = []
    if not FIELDS.issuperset(body):
        errors += [
            {"field": str(name)[:100], "detail": "is not a field of a payment"}
            for name in body
            if name not in FIELDS
        ]
    account_id = _account_id(body, errors)
    currency = _currency(body, errors)
    description = _description(body, errors)
    amount = None
    if "amount" not in body:
        errors.append({"field": "amount", "detail": "is required"})
    else:
        try:
            # With an unknown currency the amount is still looked at, for one complete answer.
            amount = parse_amount(body["amount"], currency or DEFAULT_CURRENCY)
        except MoneyError as error:
            errors.append({"field": "amount", "detail": str(error)})
    if errors or amount is None:
        fields = ", ".join(error["field"] for error in errors)
        raise ValidationFailed(f"Correct {fields} and send the payment again.", errors=errors)
    return NewPayment(idempotency_key, account_id, amount, currency, description)


def _account_id(body: Mapping[str, Any], errors: Errors) -> str:
    value = body.get("accountId")
    if value is None:
        errors.append({"field": "accountId", "detail": "is required"})
    elif not isinstance(value, str) or not is_account_id(value):
        detail = (
            f"must be 1 to {ACCOUNT_ID_MAX_CHARS} ASCII letters, digits or _ . : @ + -,"
            " starting with a letter, a digit or _"
        )
        errors.append({"field": "accountId", "detail": detail})
    elif is_system_account(value):
        errors.append({"field": "accountId", "detail": "must not be one of the system's own"})
    return value if isinstance(value, str) else ""


def _currency(body: Mapping[str, Any], errors: Errors) -> str:
    value = body.get("currency", DEFAULT_CURRENCY)
    try:
        decimals_of(value)
    except MoneyError as error:
        errors.append({"field": "currency", "detail": str(error)})
        return ""
    return str(value)


def _description(body: Mapping[str, Any], errors: Errors) -> str:
    value = body.get("description", "")
    if not isinstance(value, str):
        errors.append({"field": "description", "detail": "must be a string"})
    elif len(value) > DESCRIPTION_MAX_CHARS:
        detail = f"must have {DESCRIPTION_MAX_CHARS} characters at most"
        errors.append({"field": "description", "detail": detail})
    elif _UNSTORABLE.search(value):
        detail = "must not hold NUL or half of a surrogate pair"
        errors.append({"field": "description", "detail": detail})
    return value if isinstance(value, str) else ""


def parse_idempotency_key(headers: Headers) -> str:
    """The key of the one Idempotency-Key header, bare or as an RFC 8941 quoted string.

    Both spellings of a key are the same key. Raises IdempotencyKeyMissing, IdempotencyKeyInvalid.
    """
    values = headers.getlist("Idempotency-Key")
    if len(values) > 1:
        raise IdempotencyKeyInvalid("Send the header once.")
    return parse_key_header(values[0] if values else None)


def parse_key_header(value: str | None) -> str:
    """The same of the header's value; None where there is no such header."""
    if value is None:
        raise IdempotencyKeyMissing('Send "Idempotency-Key: " and a fresh UUID, say.')
    key = value.strip(" \t")
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = _unquoted(key[1:-1])
    return checked_key(key)


def checked_key(key: object) -> str:
    """The key itself, if it can be one. Raises IdempotencyKeyMissing, IdempotencyKeyInvalid."""
    if key is None or key == "":
        raise IdempotencyKeyMissing("The key is empty.")
    if not isinstance(key, str) or len(key) > IDEMPOTENCY_KEY_MAX_CHARS:
        raise IdempotencyKeyInvalid(f"Send 1 to {IDEMPOTENCY_KEY_MAX_CHARS} characters.")
    if not _VISIBLE.match(key):
        raise IdempotencyKeyInvalid("Send visible ASCII characters only, without spaces.")
    return key


def _unquoted(inner: str) -> str:
    """RFC 8941, 3.3.3: within the quotes, \\" and \\\\ stand for " and \\."""
    plain = []
    characters = iter(inner)
    for character in characters:
        if character == '"':
            raise IdempotencyKeyInvalid("A quoted key must not hold a bare quote.")
        escaped = next(characters, "") if character == "\\" else ""
        if character == "\\" and escaped not in ('"', "\\"):
            raise IdempotencyKeyInvalid('After a backslash only " or another one may stand.')
        plain.append(escaped or character)
    return "".join(plain)
