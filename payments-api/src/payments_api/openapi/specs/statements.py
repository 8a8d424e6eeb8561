"""The specification of the routes of sources and statements."""

from payments_api.http import errors
from payments_api.openapi import parameters, schemas, statement_parameters
from payments_api.openapi.operation import (
    BODY,
    PAGED,
    PARAMETERS,
    Link,
    Operation,
    Problems,
)
from payments_core.http.problems import PayloadTooLarge

_FILE_DECISION: Problems = (
    errors.StatementNotFound,
    errors.StatementNotQuarantined,
    errors.StatementNotAcceptable,
    errors.Overloaded,
    *BODY,
)

_STATEMENT_LINKS = tuple(
    Link(name, endpoint, "statementId", "statements/0/id")
    for name, endpoint in (
        ("statement", "statements.get_statement"),
        ("lines", "statements.get_lines"),
        ("accept", "statements.post_accept"),
        ("reject", "statements.post_reject"),
    )
)

STATEMENT_OPERATIONS = (
    Operation(
        "statements.get_sources",
        "statements",
        schemas.SourcePage,
        parameters=parameters.PAGING,
        problems=(*PAGED, errors.Overloaded),
    ),
    Operation(
        "statements.post_source",
        "statements",
        schemas.Source,
        201,
        schemas.SourceRequest,
        (parameters.OPERATOR,),
        (*BODY, errors.SourceExists, errors.Overloaded),
    ),
    Operation(
        "statements.get_source",
        "statements",
        schemas.Source,
        parameters=(statement_parameters.SOURCE_IN_PATH,),
        problems=(errors.SourceNotFound, *PARAMETERS, errors.Overloaded),
    ),
    Operation(
        "statements.post_statement",
        "statements",
        schemas.StatementFile,
        202,
        "application/octet-stream",
        (statement_parameters.SOURCE_REQUIRED, statement_parameters.FILE_NAME, parameters.OPERATOR),
        (
            errors.SourceNotFound,
            errors.RequestTooSlow,
            PayloadTooLarge,
            errors.UnsupportedMediaType,
            errors.ValidationFailed,
            errors.TooManyStatements,
            errors.StorageFull,
            errors.Overloaded,
        ),
        also=200,
        located=True,
    ),
    Operation(
        "statements.get_statements",
        "statements",
        schemas.StatementFilePage,
        parameters=(
            statement_parameters.SOURCE,
            statement_parameters.FILE_STATUS,
            *parameters.PAGING,
        ),
        problems=(errors.SourceNotFound, *PAGED, errors.Overloaded),
        links=_STATEMENT_LINKS,
    ),
    Operation(
        "statements.get_statement",
        "statements",
        schemas.StatementFileDetail,
        parameters=(statement_parameters.STATEMENT_IN_PATH,),
        problems=(errors.StatementNotFound, *PARAMETERS, errors.Overloaded),
    ),
    Operation(
        "statements.get_lines",
        "statements",
        schemas.StatementLinePage,
        parameters=(statement_parameters.STATEMENT_IN_PATH, *parameters.PAGING),
        problems=(errors.StatementNotFound, *PAGED, errors.Overloaded),
    ),
    Operation(
        "statements.post_accept",
        "statements",
        schemas.StatementFile,
        202,
        schemas.AcceptRequest,
        (statement_parameters.STATEMENT_IN_PATH, parameters.OPERATOR),
        _FILE_DECISION,
    ),
    Operation(
        "statements.post_reject",
        "statements",
        schemas.StatementFile,
        takes=schemas.RejectRequest,
        parameters=(statement_parameters.STATEMENT_IN_PATH, parameters.OPERATOR),
        problems=_FILE_DECISION,
    ),
)
