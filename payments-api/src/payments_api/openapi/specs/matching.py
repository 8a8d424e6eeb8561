"""The specification of the routes of matching."""

from pydantic import BaseModel

from payments_api.http import errors
from payments_api.openapi import parameters, schemas, statement_parameters
from payments_api.openapi.operation import (
    BODY,
    PAGED,
    PARAMETERS,
    Operation,
    Problems,
)
from payments_api.openapi.parameters import Parameter

_OF_SOURCE: Problems = (errors.SourceNotFound, errors.Overloaded)

_LINE_ACT: Problems = (errors.LineNotFound, errors.MatchRefused, *_OF_SOURCE, *BODY)

_LINE_PARAMETERS = (
    statement_parameters.SOURCE_IN_PATH,
    statement_parameters.LINE_IN_PATH,
    parameters.OPERATOR,
)


def _of_source(
    endpoint: str,
    answer: type[BaseModel] | str,
    *listed: Parameter,
    problems: Problems = PARAMETERS,
) -> Operation:
    """Return the specification of a route that reads something of a source."""
    listed = (statement_parameters.SOURCE_IN_PATH, *listed)
    problems = (*_OF_SOURCE, *problems)
    return Operation(
        f"matching.{endpoint}",
        "matching",
        answer,
        parameters=listed,
        problems=problems,
    )


def _paged_of_source(endpoint: str, answer: type[BaseModel], *listed: Parameter) -> Operation:
    return _of_source(endpoint, answer, *listed, *parameters.PAGING, problems=PAGED)


def _line_act(endpoint: str) -> Operation:
    """Return the specification of a route that sets a line aside or opens it again."""
    return Operation(
        f"matching_acts.{endpoint}",
        "matching",
        schemas.LineDetail,
        takes=schemas.LineRequest,
        parameters=_LINE_PARAMETERS,
        problems=_LINE_ACT,
    )


MATCHING_OPERATIONS = (
    *(
        _of_source(endpoint, answer, statement_parameters.ON, statement_parameters.AS_OF)
        for endpoint, answer in (
            ("get_report", schemas.ReconciliationReport),
            ("get_report_csv", "text/csv"),
        )
    ),
    _paged_of_source("get_runs", schemas.RunPage),
    _paged_of_source(
        "get_breaks",
        schemas.BreakPage,
        statement_parameters.BREAK_STATUS,
        statement_parameters.BREAK_CLASS,
        statement_parameters.BREAK_AGE,
        statement_parameters.ASSIGNEE,
        statement_parameters.AS_OF,
        statement_parameters.BREAK_SORT,
    ),
    _of_source(
        "get_break",
        schemas.Break,
        statement_parameters.BREAK_IN_PATH,
        statement_parameters.AS_OF,
        problems=(errors.BreakNotFound, *PARAMETERS),
    ),
    _paged_of_source("get_open_lines", schemas.SourceLinePage, statement_parameters.LINE_STATUS),
    _of_source(
        "get_line",
        schemas.LineDetail,
        statement_parameters.LINE_IN_PATH,
        problems=(errors.LineNotFound, *PARAMETERS),
    ),
    _paged_of_source(
        "get_open_entries",
        schemas.OpenEntryPage,
        statement_parameters.ENTRY_REFERENCE,
        statement_parameters.ENTRY_AMOUNT,
    ),
    _paged_of_source(
        "get_matches",
        schemas.MatchPage,
        statement_parameters.MATCH_STATUS,
        statement_parameters.MATCH_RUN,
    ),
    _of_source(
        "get_match",
        schemas.Match,
        statement_parameters.MATCH_IN_PATH,
        problems=(errors.MatchNotFound, *PARAMETERS),
    ),
    Operation(
        "matching_acts.post_match",
        "matching",
        schemas.Match,
        201,
        schemas.MatchRequest,
        (statement_parameters.SOURCE_IN_PATH, parameters.OPERATOR),
        _LINE_ACT,
    ),
    Operation(
        "matching_acts.post_undo",
        "matching",
        schemas.Match,
        takes=schemas.UndoRequest,
        parameters=(
            statement_parameters.SOURCE_IN_PATH,
            statement_parameters.MATCH_IN_PATH,
            parameters.OPERATOR,
        ),
        problems=(errors.MatchNotFound, errors.MatchRefused, *_OF_SOURCE, *BODY),
    ),
    _line_act("post_explain"),
    _line_act("post_ignore"),
    _line_act("post_reopen"),
    Operation(
        "matching_acts.post_annotate",
        "matching",
        schemas.Break,
        takes=schemas.AnnotateRequest,
        parameters=(
            statement_parameters.SOURCE_IN_PATH,
            statement_parameters.BREAK_IN_PATH,
            parameters.OPERATOR,
        ),
        problems=(errors.BreakNotFound, *_OF_SOURCE, *BODY),
    ),
)
