"""The base of every schema, and the fields that several features share."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from payments_core.domain.money import (
    AMOUNT_LIMIT,
    AMOUNT_TEXT_MAX_CHARS,
    AMOUNT_TEXT_PATTERN,
    currencies,
)
from payments_core.domain.payments import (
    ACCOUNT_ID_PATTERN,
    METADATA_KEY_MAX_CHARS,
    METADATA_KEYS_MAX,
    METADATA_MAX_BYTES,
    METADATA_VALUE_MAX_CHARS,
    REFERENCE_PATTERN,
    SOURCE_PATTERN,
)

NOW = "2026-01-31T12:00:00.000000Z"
LATER = "2026-01-31T12:00:00.008000Z"

AMOUNT_FLOAT = float(AMOUNT_LIMIT)  # For the document alone: no amount is parsed as a float.
Amount = Annotated[
    str,
    Field(
        pattern=r"^-?[0-9]+(\.[0-9]+)?$",
        description="Exact, with the number of decimals that the currency has.",
        examples=["100.00"],
    ),
]
CurrencyCode = Annotated[
    str, Field(pattern="^[A-Z]{3}$", description="An ISO 4217 code.", examples=["USD"])
]
KnownCurrency = Annotated[
    str,
    Field(
        description="An ISO 4217 code in use.",
        examples=["USD"],
        json_schema_extra={"enum": [*currencies()]},
    ),
]
AccountId = Annotated[str, Field(pattern=ACCOUNT_ID_PATTERN, examples=["acc_42"])]
Reference = Annotated[
    str,
    Field(
        pattern=REFERENCE_PATTERN,
        description="The client's own reference, like an ISO 20022 EndToEndId. It need not be"
        " unique, and must not contain two slashes in a row.",
        examples=["INV-2026-7"],
    ),
]
MetadataKey = Annotated[str, Field(min_length=1, max_length=METADATA_KEY_MAX_CHARS)]
MetadataValue = Annotated[str, Field(max_length=METADATA_VALUE_MAX_CHARS)]
Metadata = Annotated[
    dict[MetadataKey, MetadataValue],
    Field(
        max_length=METADATA_KEYS_MAX,
        description="The client's own names and values, at most"
        f" {METADATA_MAX_BYTES} bytes as JSON. Two keys must differ in more than case and"
        " Unicode form.",
        examples=[{"order": "7"}],
    ),
]
Source = Annotated[
    str,
    Field(
        pattern=SOURCE_PATTERN,
        description="The channel through which the money arrives, such as a bank account or a"
        " payment provider. Names the clearing account.",
        examples=["default"],
    ),
]
Cursor = Annotated[
    str | None, Field(description="The cursor of the next page; null on the last page.")
]
PreviousCursor = Annotated[
    str | None, Field(description="The cursor of the page before; null on the first page.")
]


class Shape(BaseModel):
    """A schema: camel case on the wire, with an example where types do not suffice."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


PositiveAmount = Annotated[
    Annotated[float, Field(gt=0, lt=AMOUNT_FLOAT)]
    | Annotated[str, Field(pattern=AMOUNT_TEXT_PATTERN, max_length=AMOUNT_TEXT_MAX_CHARS)],
    Field(description="Positive, with at most the payment's decimals.", examples=["30.00"]),
]


class Problem(Shape):
    """RFC 9457 problem details. `code` is stable; `errors` names the invalid fields."""

    type: str
    title: str
    status: int
    code: str
    detail: str = ""
    instance: str = ""
    errors: list[dict[str, str]] = []
