"""Parsing of payments: a request's fields become a NewPayment, or an error names what is wrong."""

from collections.abc import Mapping
from typing import Any

from payments_api.http.errors import IdempotencyKeyInvalid, IdempotencyKeyMissing, ValidationFailed
from payments_api.payments.references import (
    UNSTORABLE,
    Errors,
    metadata_in,
    reference_in,
    source_in,
)
from payments_core.domain.money import (
    DEFAULT_CURRENCY,
    MoneyError,
    decimals_of,
    is_currency_code,
    parse_amount,
    parse_earlier_amount,
)
from payments_core.domain.payments import (
    ACCOUNT_ID_MAX_CHARS,
    DESCRIPTION_MAX_CHARS,
    IDEMPOTENCY_KEY_MAX_CHARS,
    NewPayment,
    is_account_id,
    is_idempotency_key,
    is_system_account,
)

FIELDS = frozenset(
    {"accountId", "amount", "currency", "description", "reference", "metadata", "source"}
)


def parse_payment(body: Mapping[str, Any], idempotency_key: str) -> NewPayment:
    """Return the checked and normalised payment. Raises ValidationFailed for all wrong fields."""
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
    attached = (reference_in(body, errors), metadata_in(body, errors), source_in(body, errors))
    amount = None
    if "amount" not in body:
        errors.append({"field": "amount", "detail": "is required"})
    else:
        try:
            # Parsed with an unknown currency too, so that one answer names every wrong field.
            amount = parse_amount(body["amount"], currency or DEFAULT_CURRENCY)
        except MoneyError as error:
            errors.append({"field": "amount", "detail": str(error)})
    if errors or amount is None:
        fields = ", ".join(error["field"] for error in errors)
        raise ValidationFailed(f"Correct {fields} and send the payment again.", errors=errors)
    return NewPayment(idempotency_key, account_id, amount, currency, description, *attached)


def parse_earlier_payment(body: Mapping[str, Any], idempotency_key: str) -> NewPayment | None:
    """Return a rejected payment as an earlier list of currencies may have allowed it, or None.

    A key replays its payment also after the currency has left ISO 4217, or has lost decimals.
    """
    errors: Errors = []
    currency = body.get("currency", DEFAULT_CURRENCY)
    account_id, description = _account_id(body, errors), _description(body, errors)
    attached = (reference_in(body, errors), metadata_in(body, errors), source_in(body, errors))
    try:
        amount = parse_earlier_amount(body.get("amount"))
    except MoneyError:
        return None
    if errors or not FIELDS.issuperset(body) or not is_currency_code(currency):
        return None
    return NewPayment(idempotency_key, account_id, amount, str(currency), description, *attached)


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
        errors.append({"field": "accountId", "detail": "must not name a system account"})
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
        detail = f"must have at most {DESCRIPTION_MAX_CHARS} characters"
        errors.append({"field": "description", "detail": detail})
    elif UNSTORABLE.search(value):
        detail = "must not contain NUL or an unpaired surrogate"
        errors.append({"field": "description", "detail": detail})
    return value if isinstance(value, str) else ""


def parse_idempotency_key(value: str | None) -> str:
    """Return the key in an Idempotency-Key header, bare or as an RFC 8941 quoted string.

    Both spellings of a key are the same key. Raises IdempotencyKeyMissing, IdempotencyKeyInvalid,
    also for a repeated header, whose values are joined by a comma and a space.
    """
    if value is None:
        raise IdempotencyKeyMissing("Send the header Idempotency-Key with a fresh UUID.")
    key = value.strip(" \t")
    if key.startswith('"'):
        if len(key) < 2 or not key.endswith('"'):
            raise IdempotencyKeyInvalid("A key that starts with a quote must end with one.")
        key = _unquoted(key[1:-1])
    return checked_key(key)


def checked_key(key: object) -> str:
    """Return a valid idempotency key. Raises IdempotencyKeyMissing, IdempotencyKeyInvalid."""
    if isinstance(key, str) and is_idempotency_key(key):
        return key
    if key is None or key == "":
        raise IdempotencyKeyMissing("The key is empty.")
    if not isinstance(key, str) or len(key) > IDEMPOTENCY_KEY_MAX_CHARS:
        raise IdempotencyKeyInvalid(f"Send 1 to {IDEMPOTENCY_KEY_MAX_CHARS} characters.")
    raise IdempotencyKeyInvalid("Send visible ASCII characters only, without spaces.")


def _unquoted(inner: str) -> str:
    """Unescape a quoted string (RFC 8941, 3.3.3): \\" and \\\\ stand for " and \\."""
    plain = []
    characters = iter(inner)
    for character in characters:
        if character == '"':
            raise IdempotencyKeyInvalid("A quoted key must not contain an unescaped quote.")
        escaped = next(characters, "") if character == "\\" else ""
        if character == "\\" and escaped not in ('"', "\\"):
            raise IdempotencyKeyInvalid(
                "A backslash in a quoted key must escape a quote or a backslash."
            )
        plain.append(escaped or character)
    return "".join(plain)
