"""Requests of operators: pydantic models, whose errors read like those of other requests."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from payments_api.http.errors import ValidationFailed
from payments_api.http.query_params import MOMENT_EXPECTED, moment_of
from payments_core.domain.payments import ACCOUNT_ID_PATTERN
from payments_core.domain.statuses import (
    ERROR_FILTER_MAX_CHARS,
    OPERATOR_MAX_CHARS,
    REASON_MAX_CHARS,
)

_NO_NUL = r"^[^\u0000]*$"
_SOMETHING = r"^[^\u0000]*[^\s\u0000][^\u0000]*$"  # Not only white space, which is stripped.
Actor = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, min_length=1, max_length=OPERATOR_MAX_CHARS, pattern=_SOMETHING
    ),
]
Reason = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=REASON_MAX_CHARS, pattern=_NO_NUL)
]


def _whole(value: object) -> object:
    # pydantic would expand 1e99999999, which takes minutes; no field has ten digits.
    if isinstance(value, Decimal) and value.is_finite() and abs(value.adjusted()) > 9:
        raise PydanticCustomError("whole", "must be a smaller number")
    return value


def _moment(value: object) -> datetime:
    try:
        return moment_of(value if isinstance(value, str) else "")
    except ValueError:
        raise PydanticCustomError("moment", MOMENT_EXPECTED) from None


Moment = Annotated[datetime, BeforeValidator(_moment)]

ModelT = TypeVar("ModelT", bound=BaseModel)


class _Request(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)


class ActionRequest(_Request):
    """The operator and the reason to record. The header Payments-Operator overrides `actor`."""

    actor: Actor | None = None
    reason: Reason = ""


class DiscardRequest(ActionRequest):
    """The operator and the reason to record; the reason becomes the payment's note."""

    reason: Annotated[Reason, Field(min_length=1, pattern=_SOMETHING)]


class ReplayRequest(ActionRequest):
    """The dead letters to replay; an absent filter does not narrow."""

    error_contains: (
        Annotated[str, Field(max_length=ERROR_FILTER_MAX_CHARS, pattern=_NO_NUL)] | None
    ) = None
    # Checked by the handler; the pattern is for the OpenAPI document.
    account_id: (
        Annotated[str, WithJsonSchema({"type": "string", "pattern": ACCOUNT_ID_PATTERN})] | None
    ) = None
    created_from: Moment | None = None
    created_to: Moment | None = None
    # In this order, so that the bounds appear in the document.
    limit: Annotated[int, Field(ge=1, le=1000), BeforeValidator(_whole)] = 1000
    dry_run: StrictBool = False


def parse_model(model: type[ModelT], body: Mapping[str, Any]) -> ModelT:
    """Return the body as the model. Raises ValidationFailed for all wrong fields."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        errors = [
            {
                "field": ".".join(map(str, problem["loc"]))[:100] or "body",
                "detail": problem["msg"],
            }
            for problem in error.errors(include_url=False, include_input=False)
        ]
        fields = ", ".join(problem["field"] for problem in errors)
        raise ValidationFailed(f"Correct {fields} and try again.", errors=errors) from None
