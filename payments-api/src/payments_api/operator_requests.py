"""What operators send, as models: checked by pydantic, told back in the API's own words."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel

from payments_api.errors import ValidationFailed

_NO_NUL = r"^[^\u0000]*$"
Actor = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=_NO_NUL)
]
Reason = Annotated[str, StringConstraints(strip_whitespace=True, max_length=1000, pattern=_NO_NUL)]

ModelT = TypeVar("ModelT", bound=BaseModel)


class _Request(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True
    )


class ActionRequest(_Request):
    """Who acts, and why: it stays on record."""

    actor: Actor
    reason: Reason = ""


class ReplayRequest(ActionRequest):
    """Which dead letters to replay; what is left out does not narrow."""

    error_contains: Annotated[str, Field(max_length=500, pattern=_NO_NUL)] | None = None
    account_id: str | None = None
    created_from: AwareDatetime | None = None
    created_to: AwareDatetime | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 1000
    dry_run: bool = False


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
