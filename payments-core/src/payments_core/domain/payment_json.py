"""A payment as JSON: the part that never changes once it is settled."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from payments_core.domain.money import amount_text
from payments_core.domain.payments import time_or_none, utc_text
from payments_core.domain.tenants import shown_account


def lasting_payment_json(payment: Mapping[str, Any], tenant: str | None) -> dict[str, Any]:
    """Return the fields of a payment that never change once it is settled."""
    return {
        "id": str(payment["id"]),
        "accountId": shown_account(payment["account_id"], tenant),
        "amount": amount_text(payment["amount"]),
        "currency": payment["currency"],
        "description": payment["description"],
        "reference": payment["reference"],
        "metadata": payment["metadata"] or {},
        "source": payment["source"],
        "status": payment["status"],
        "createdAt": utc_text(payment["created_at"]),
        "settledAt": time_or_none(payment["settled_at"]),
        "discrepancyAmount": discrepancy_text(payment["discrepancy_amount"], payment["amount"]),
    }


def discrepancy_text(discrepancy: Decimal | None, amount: Decimal) -> str | None:
    """Return the discrepancy with the decimals of the payment's amount."""
    # The rule's discrepancy is one number for all currencies; a sum has the wider scale.
    return None if discrepancy is None else amount_text(discrepancy + amount * 0)
