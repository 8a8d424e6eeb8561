"""/sources and /statements: the accounts, their files, and decisions about quarantined ones."""

from typing import Any
from uuid import UUID

from quart import Blueprint, current_app, request
from quart.typing import ResponseReturnValue

from payments_api.auth.caller import RECON_READ, RECON_WRITE
from payments_api.auth.item_ids import item_ids
from payments_api.auth.middleware import caller, requires
from payments_api.auth.operator import acting_operator, acting_sender
from payments_api.http.errors import (
    SourceExists,
    StatementNotAcceptable,
    StatementNotFound,
    StatementNotQuarantined,
    TooManyStatements,
    ValidationFailed,
)
from payments_api.http.json_body import read_json_object
from payments_api.http.pagination import ASCENDING, HiddenPage, Page
from payments_api.http.query_params import Query, checked_uuid
from payments_api.operations.requests import parse_model
from payments_api.services import services
from payments_api.statements.lookups import file_with, source_named
from payments_api.statements.schemas import AcceptRequest, RejectRequest, SourceRequest
from payments_api.statements.statement_json import (
    file_json,
    line_json,
    source_json,
    statement_json,
)
from payments_api.statements.upload import (
    check_is_plain,
    full_disk_told,
    place_for,
    streamed_body,
)
from payments_core.domain.statements import FILE_STATUSES
from payments_core.http.problems import PayloadTooLarge
from payments_core.statements import files
from payments_core.statements import sources as source_rows
from payments_core.statements.quota import QuotaExceeded
from payments_core.statements.receive import FileEmpty, FileTooLarge, receive_file

statements = Blueprint("statements", __name__)
BYTES_MAX = "STATEMENT_BYTES_MAX"  # In the app's configuration.
QUOTA = "STATEMENT_QUOTA"


@statements.get("/sources")
@requires(RECON_READ)
async def get_sources() -> ResponseReturnValue:
    """List the sources of statements, newest first."""
    query = Query(request.args, "limit", "cursor")
    tenant = caller().tenant
    page = HiddenPage(services().cursors, query, "sources", {"tenant": tenant})
    async with services().load_read() as tx:
        rows = await source_rows.list_sources(tx, tenant, page.fetch_limit, page.walk)
    return page.as_json("sources", rows, source_json)


@statements.post("/sources")
@requires(RECON_WRITE)
async def post_source() -> ResponseReturnValue:
    """Add a source of statements: an account at a bank or provider."""
    body = parse_model(SourceRequest, await read_json_object(request))
    try:
        source = source_rows.NewSource(**body.model_dump(), tenant=caller().tenant)
        async with services().write() as tx:
            row = await source_rows.add_source(tx, source, acting_sender())
    except source_rows.SourceRefused as error:
        raise ValidationFailed.of(error.field, error.problem) from None
    except source_rows.SourceExists:
        raise SourceExists from None
    return source_json(row), 201


@statements.get("/sources/<source>")
@requires(RECON_READ)
async def get_source(source: str) -> ResponseReturnValue:
    """Retrieve a source of statements."""
    Query(request.args)
    async with services().load_read() as tx:
        return source_json(await source_named(tx, source))


@statements.post("/statements")
@requires(RECON_WRITE)
async def post_statement() -> ResponseReturnValue:
    """Receive a statement file; it is imported soon after. Known bytes are answered 200."""
    query = Query(request.args, "source", "fileName")
    name = query.text("source")
    if name is None:
        raise ValidationFailed.of("source", "is required: name the source of the file")
    operator = acting_sender()
    check_is_plain(request)
    async with services().load_read() as tx:
        source = await source_named(tx, name)
    with place_for(caller().tenant), full_disk_told():
        try:
            file, new = await receive_file(
                services().engine,
                source,
                streamed_body(request),
                file_name=query.text("fileName"),
                operator=operator,
                bytes_max=current_app.config[BYTES_MAX],
                quota=current_app.config[QUOTA],
            )
        except QuotaExceeded as error:
            raise TooManyStatements(str(error)) from None
        except FileTooLarge as error:
            raise PayloadTooLarge(str(error)) from None
        except FileEmpty:
            raise ValidationFailed.of("body", "is empty: send the bytes of the file") from None
    async with services().load_read() as tx:
        answer = file_json(await files.find_file(tx, file.id))
    return answer, 202 if new else 200, {"Location": f"/statements/{file.id}"}


@statements.get("/statements")
@requires(RECON_READ)
async def get_statements() -> ResponseReturnValue:
    """List the received statement files, newest first."""
    query = Query(request.args, "source", "status", "limit", "cursor")
    tenant, name = caller().tenant, query.text("source")
    status = query.choice("status", FILE_STATUSES)
    bound_to = {"tenant": tenant, "source": name, "status": status}
    page = Page(services().cursors, query, "statements", UUID, bound_to)
    async with services().load_read() as tx:
        rows = await files.list_files(
            tx,
            page.fetch_limit,
            tenant=tenant,
            source_id=None if name is None else (await source_named(tx, name)).id,
            status=status,
            walk=page.walk,
        )
    return page.as_json("statements", rows, file_json)


@statements.get("/statements/<id:statement_id>")
@requires(RECON_READ)
async def get_statement(statement_id: str) -> ResponseReturnValue:
    """Retrieve a statement file with its statements."""
    Query(request.args)
    async with services().load_read() as tx:
        file = await file_with(tx, statement_id)
        found = await files.statements_of(tx, file.id)
    return {**file_json(file), "statements": [statement_json(each) for each in found]}


@statements.get("/statements/<id:statement_id>/lines")
@requires(RECON_READ)
async def get_lines(statement_id: str) -> ResponseReturnValue:
    """List the lines that a statement file brought, in its order."""
    query = Query(request.args, "limit", "cursor")
    page = HiddenPage(
        services().cursors,
        query,
        "statement-lines",
        {"file": statement_id},
        default_order=ASCENDING,
    )
    async with services().load_read() as tx:
        file = await file_with(tx, statement_id)
        rows = await files.lines_of(tx, file.id, page.fetch_limit, page.walk)
    ids = item_ids()
    return page.as_json("lines", rows, lambda row: line_json(row, ids))


@statements.post("/statements/<id:statement_id>/accept")
@requires(RECON_WRITE)
async def post_accept(statement_id: str) -> ResponseReturnValue:
    """Accept a quarantined file that does not add up: it is imported soon after.

    One whose import never ended (`unfinished`) is tried again, and accepted by no person.
    """
    decision = parse_model(AcceptRequest, await read_json_object(request))
    return await _decide(statement_id, decision, accept=True), 202


@statements.post("/statements/<id:statement_id>/reject")
@requires(RECON_WRITE)
async def post_reject(statement_id: str) -> ResponseReturnValue:
    """Reject a quarantined file: it is never imported, and its bytes stay."""
    decision = parse_model(RejectRequest, await read_json_object(request))
    return await _decide(statement_id, decision, accept=False)


async def _decide(
    statement_id: str, decision: AcceptRequest | RejectRequest, *, accept: bool
) -> dict[str, Any]:
    operator = acting_operator(decision.actor)
    file_id, tenant = checked_uuid(statement_id, StatementNotFound), caller().tenant
    try:
        async with services().write() as tx:
            file = await files.decide(
                tx, file_id, operator, decision.reason, accept=accept, tenant=tenant
            )
    except files.FileNotFound:
        raise StatementNotFound from None
    except files.FileNotQuarantined as error:
        raise StatementNotQuarantined(str(error)) from None
    except files.FileNotAcceptable as error:
        raise StatementNotAcceptable(str(error)) from None
    return file_json(file)
