"""The specification of the routes of adjustments."""

from pydantic import BaseModel

from payments_api.http import errors
from payments_api.openapi import parameters, schemas, statement_parameters
from payments_api.openapi.operation import BODY, PAGED, PARAMETERS, Operation, Problems

_OF_SOURCE: Problems = (errors.SourceNotFound, errors.Overloaded)
_ONE: Problems = (errors.AdjustmentNotFound, *_OF_SOURCE)
_NAMED = (statement_parameters.SOURCE_IN_PATH, statement_parameters.ADJUSTMENT_IN_PATH)


def _decision(endpoint: str, takes: type[BaseModel], problems: Problems) -> Operation:
    """Return the specification of a route that decides about an adjustment."""
    return Operation(
        f"adjustments.{endpoint}",
        "matching",
        schemas.Adjustment,
        takes=takes,
        parameters=(*_NAMED, parameters.OPERATOR),
        problems=(*problems, *_ONE, *BODY),
    )


ADJUSTMENT_OPERATIONS = (
    Operation(
        "adjustments.get_adjustments",
        "matching",
        schemas.AdjustmentPage,
        parameters=(
            statement_parameters.SOURCE_IN_PATH,
            statement_parameters.ADJUSTMENT_STATUS,
            statement_parameters.LINE_OF_ADJUSTMENT,
            *parameters.PAGING,
        ),
        problems=(errors.LineNotFound, *_OF_SOURCE, *PAGED),
    ),
    Operation(
        "adjustments.get_adjustment",
        "matching",
        schemas.Adjustment,
        parameters=_NAMED,
        problems=(*_ONE, *PARAMETERS),
    ),
    Operation(
        "adjustments.post_adjustment",
        "matching",
        schemas.Adjustment,
        201,
        schemas.AdjustmentRequest,
        (statement_parameters.SOURCE_IN_PATH, parameters.OPERATOR),
        (errors.LineNotFound, errors.MatchRefused, *_OF_SOURCE, *BODY),
    ),
    _decision(
        "post_approve",
        schemas.AdjustmentApproval,
        (errors.ApproverIsProposer, errors.MatchRefused),
    ),
    _decision("post_reject", schemas.AdjustmentRejection, (errors.MatchRefused,)),
)
