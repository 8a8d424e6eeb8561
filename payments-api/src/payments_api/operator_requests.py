"""What operators send, as models: checked by pydantic, told back in the API's own words."""

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
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from payments_api.errors import ValidationFailed
from payments_api.query import MOMENT_EXPECTED, moment_of

_NO_NUL = r"^[^\u0000]*$"
Actor = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=_NO_NUL)
]
Reason = Annotated[str, StringConstraints(strip_whitespace=True, max_length=1000, pattern=_NO_NUL)]


def _whole(value: object) -> object:
    # pydantic would expand 1e99999999, which takes minutes; nothing here has ten digits.
    if isinstance(value, Decimal) and value.is_finite() and abs(value.adjusted()) > 9:
        raise PydanticCustomError("whole", "must be a much smaller number")
    return value


def _moment(value: object) -> datetime:
    try:
        return moment_of(value if isinstance(value, str) else "")
    except ValueError:
        raise PydanticCustomError("moment", MOMENT_EXPECTED) from None


Whole = Annotated[int, BeforeValidator(_whole)]
Moment = Annotated[datetime, BeforeValidator(_moment)]

ModelT = TypeVar("ModelT", bound=BaseModel)


class _Request(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)


class ActionRequest(_Request):
    """Who acts, and why: it stays on record."""

    actor: Actor
    reason: Reason = ""


class DiscardRequest(ActionRequest):
    """Who gives a payment up, and why: it becomes the payment's note."""

    reason: Annotated[Reason, Field(min_length=1)]


class ReplayRequest(ActionRequest):
    """Which dead letters to replay; what is left out does not narrow."""

    error_contains: Annotated[str, Field(max_length=500, pattern=_NO_NUL)] | None = None
    account_id: str | None = None
    created_from: Moment | None = None
    created_to: Moment | None = None
    limit: Annotated[Whole, Field(ge=1, le=1000)] = 1000
    dry_run: StrictBool = False


def parse_model(model: type[ModelT], body: Mapping[str, Any]) -> ModelT:
    """The body as the model. Raises ValidationFailed, naming every wrong field."""
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
