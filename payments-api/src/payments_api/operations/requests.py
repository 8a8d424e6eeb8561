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

from payments_api.auth.tenants import checked_account_id
from payments_api.http.errors import ValidationFailed
from payments_api.http.query_params import MOMENT_EXPECTED, moment_of
from payments_core.domain.payments import ACCOUNT_ID_PATTERN
from payments_core.domain.statuses import (
    ERROR_FILTER_MAX_CHARS,
    OPERATOR_MAX_CHARS,
    REASON_MAX_CHARS,
    REPLAY_JOBS_MAX,
)
from payments_core.queue.job_queries import ERROR_GROUP_MAX_CHARS, DeadLetterFilter

NO_NUL = r"^[^\u0000]*$"
SOMETHING = r"^[^\u0000]*[^\s\u0000][^\u0000]*$"  # Not only white space, which is stripped.
Actor = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, min_length=1, max_length=OPERATOR_MAX_CHARS, pattern=SOMETHING
    ),
]
Reason = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=REASON_MAX_CHARS, pattern=NO_NUL)
]


def _whole(value: object) -> object:
    # pydantic would expand 1e99999999, which takes minutes; no field has ten digits.
    if isinstance(value, Decimal) and value.is_finite() and abs(value.adjusted()) > 9:
        raise PydanticCustomError("whole", "must be a smaller number")
    return value


def _job_id(value: object) -> object:
    # A number of the body is a Decimal: no text, no boolean and no 1.0 is an id.
    if not isinstance(value, Decimal) or value.as_tuple().exponent != 0 or value.adjusted() > 18:
        raise PydanticCustomError("job_id", "must be a job's id")
    return int(value)


def _moment(value: object) -> datetime:
    try:
        return moment_of(value if isinstance(value, str) else "")
    except ValueError:
        raise PydanticCustomError("moment", MOMENT_EXPECTED) from None


Moment = Annotated[datetime, BeforeValidator(_moment)]

ERRORS_SHOWN_MAX = 20  # The answer to a body of wrong fields must not be larger than the body.

ModelT = TypeVar("ModelT", bound=BaseModel)


class Request(BaseModel):
    """A body with names in camelCase, none of them unknown."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)


class ActionRequest(Request):
    """The operator and the reason to record. The header Payments-Operator overrides `actor`."""

    actor: Actor | None = None
    reason: Reason = ""


class DiscardRequest(ActionRequest):
    """The operator and the reason to record; the reason becomes the payment's note."""

    reason: Annotated[Reason, Field(min_length=1, pattern=SOMETHING)]


JOB_ID_MAX = 2**63 - 1
JobId = Annotated[int, Field(ge=1, le=JOB_ID_MAX), BeforeValidator(_job_id)]


class Selection(Request):
    """Dead letters by their ids or by filters; an absent filter does not narrow."""

    job_ids: Annotated[list[JobId], Field(min_length=1, max_length=REPLAY_JOBS_MAX)] | None = None
    error_group: Annotated[str, Field(max_length=ERROR_GROUP_MAX_CHARS, pattern=NO_NUL)] | None = (
        None
    )
    error_contains: (
        Annotated[str, Field(max_length=ERROR_FILTER_MAX_CHARS, pattern=NO_NUL)] | None
    ) = None
    # Checked by the handler; the pattern is for the OpenAPI document.
    account_id: (
        Annotated[str, WithJsonSchema({"type": "string", "pattern": ACCOUNT_ID_PATTERN})] | None
    ) = None
    created_from: Moment | None = None
    created_to: Moment | None = None
    # In this order, so that the bounds appear in the document.
    limit: Annotated[int, Field(ge=1, le=REPLAY_JOBS_MAX), BeforeValidator(_whole)] = (
        REPLAY_JOBS_MAX
    )
    dry_run: StrictBool = False

    @property
    def as_filter(self) -> DeadLetterFilter:
        """Return it for a query. Raises ValidationFailed for a wrong account."""
        account_id = self.account_id
        return DeadLetterFilter(
            error_contains=self.error_contains,
            account_id=None if account_id is None else checked_account_id(account_id, None),
            created_from=self.created_from,
            created_to=self.created_to,
            job_ids=self.job_ids,
            error_group=self.error_group,
        )


class ReplayRequest(ActionRequest, Selection):
    """The dead letters to replay. A dry run changes nothing and needs no `actor`."""


class DiscardMatchingRequest(DiscardRequest, Selection):
    """The dead letters to discard: at least one filter is required, or their ids."""


def parse_model(model: type[ModelT], body: Mapping[str, Any]) -> ModelT:
    """Return the body as the model. Raises ValidationFailed for the first wrong fields."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        errors = [
            {
                "field": ".".join(map(str, problem["loc"]))[:100] or "body",
                "detail": problem["msg"],
            }
            for problem in error.errors(include_url=False, include_input=False)[:ERRORS_SHOWN_MAX]
        ]
        fields = ", ".join(problem["field"] for problem in errors)
        raise ValidationFailed(f"Correct {fields} and try again.", errors=errors) from None
