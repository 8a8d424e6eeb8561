"""The 201 answer to a payment, as JSON and as headers; a replay gives the same bytes."""

import json

from payments_api.create_payment import Creation
from payments_api.tenants import shown_account
from payments_core.payments import CreatedPayment

JSON_TYPE = "application/json"

# One for all: json.dumps makes an encoder each time it is asked for anything but its defaults.
_encode = json.JSONEncoder(ensure_ascii=False).encode


def created_json(payment: CreatedPayment, tenant: str | None) -> dict[str, str]:
    """The payment as the tenant sees it."""
    shown = payment.as_json()
    if tenant is not None:
        shown["accountId"] = shown_account(payment.account_id, tenant)
    return shown


def created_body(creation: Creation, tenant: str | None) -> bytes:
    """The answer's body."""
    return _encode(created_json(creation.payment, tenant)).encode()


def created_headers(creation: Creation) -> dict[str, str]:
    """The headers that an answer of this kind has besides those that all have."""
    headers = {"Location": f"/payments/{creation.payment.id}"}
    if creation.replayed:
        headers["Idempotency-Replayed"] = "true"
    return headers
