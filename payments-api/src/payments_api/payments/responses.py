"""The 201 answer to a payment, as JSON and as headers; a replay gives the same bytes."""

from payments_api.auth.tenants import shown_account
from payments_api.payments.writer import Creation

JSON_TYPE = "application/json"


def created_text(creation: Creation, tenant: str | None) -> str:
    """The answer's body: the payment as the tenant sees it."""
    payment = creation.payment
    return payment.json_text(shown_account(payment.account_id, tenant))


def created_headers(creation: Creation) -> dict[str, str]:
    """The headers that an answer of this kind has besides those that all have."""
    headers = {"Location": f"/payments/{creation.payment.id}"}
    if creation.replayed:
        headers["Idempotency-Replayed"] = "true"
    return headers
