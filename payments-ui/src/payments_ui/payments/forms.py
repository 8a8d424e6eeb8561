"""The payment form.

payments-api validates payments; the form only requires its fields and reads the amount.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self
from uuid import uuid4

from payments_core.domain.ids import uuid_or_none
from payments_core.domain.money import DEFAULT_CURRENCY
from payments_core.domain.payments import DEFAULT_SOURCE
from payments_ui.payments.amounts import AmbiguousAmount, plain_amount
from payments_ui.web.forms import as_sentence, text_of

FIELD_NAMES = {
    "accountId": "Account",
    "amount": "Amount",
    "currency": "Currency",
    "description": "Description",
    "reference": "Reference",
    "metadata": "Metadata",
    "source": "Source",
}


@dataclass
class PayForm:
    """The payment form: input, idempotency key and errors.

    The key is generated with the form and kept until a payment exists: a double click, a reload or
    a retry sends the same key and creates one payment.
    """

    account_id: str = ""
    amount: str = ""
    currency: str = DEFAULT_CURRENCY
    description: str = ""
    reference: str = ""
    metadata: str = ""  # As typed: one key=value a line.
    source: str = DEFAULT_SOURCE
    idempotency_key: str = field(default_factory=lambda: str(uuid4()))
    errors: dict[str, str] = field(default_factory=dict)  # camelCase field -> sentence

    @classmethod
    def read(cls, form: Mapping[str, str]) -> Self:
        """Read the submitted form; a missing or invalid key is replaced by a new one."""
        read = cls(
            account_id=text_of(form, "accountId"),
            amount=text_of(form, "amount"),
            currency=text_of(form, "currency") or DEFAULT_CURRENCY,
            description=text_of(form, "description"),
            reference=text_of(form, "reference"),
            metadata=text_of(form, "metadata"),
            source=text_of(form, "source") or DEFAULT_SOURCE,
        )
        if uuid_or_none(form.get("idempotencyKey", "")):
            read.idempotency_key = form["idempotencyKey"]
        for name, value in (("accountId", read.account_id), ("amount", read.amount)):
            if not value:
                read.errors[name] = f"{FIELD_NAMES[name]} is required."
        try:
            metadata_of(read.metadata)
        except ValueError as error:
            read.errors["metadata"] = f"{FIELD_NAMES['metadata']} {error}."
        try:
            plain_amount(read.amount, read.currency.upper())
        except AmbiguousAmount as error:
            read.errors["amount"] = f"“{read.amount}” {error}."
        return read

    def again(self) -> Self:
        """Return a form for another payment with the same input."""
        return replace(self, idempotency_key=str(uuid4()), errors={})

    def body(self) -> dict[str, Any]:
        """Return the body of POST /payments."""
        attached = {
            "reference": self.reference,
            "metadata": metadata_of(self.metadata),
            "source": self.source,
        }
        return {
            **{name: value for name, value in attached.items() if value},
            "accountId": self.account_id,
            "amount": plain_amount(self.amount, self.currency.upper()),
            "currency": self.currency.upper(),
            "description": self.description,
        }

    def take_errors(self, fields: Mapping[str, str]) -> bool:
        """Put the API's errors beside their fields; return whether all of them fit."""
        for name, detail in fields.items():
            if name in FIELD_NAMES:
                self.errors[name] = as_sentence(FIELD_NAMES[name], detail)
        return bool(fields) and all(name in FIELD_NAMES for name in fields)


def metadata_of(text: str) -> dict[str, str]:
    """Return the metadata that is typed as one key=value a line. Raises ValueError."""
    metadata: dict[str, str] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        key, equals, value = line.partition("=")
        if not equals:
            raise ValueError(f"must have one key=value a line, unlike “{line[:40]}”")
        if key.strip() in metadata:
            raise ValueError(f"must not have “{key.strip()[:40]}” twice")
        metadata[key.strip()] = value.strip()
    return metadata
