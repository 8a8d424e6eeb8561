"""`recon-worker statements`: import files, show them, accept or reject quarantined ones."""

import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from uuid import UUID

import click

from payments_core.cli import arguments, output
from payments_core.cli.program import Group, as_json
from payments_core.domain.statements import FILE_STATUSES
from recon_worker.statements.command_frame import as_dict, run
from recon_worker.statements.received_cli import import_received
from recon_worker.statements.verify_cli import verify

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from payments_core.db.engine import AnyRow
    from recon_worker.settings import WorkerSettings

STATUSES = (
    "0 imported, or done; 1 quarantined, or the file or source is unknown or in another state;"
    " 2 the file cannot be read, or the database failed."
)
READ_BYTES = 256 * 1024


@click.group(cls=Group)
def statements() -> None:
    """Import statements of banks and providers, list them, accept or reject quarantined files."""


statements.add_command(import_received)
statements.add_command(verify)


@statements.command(
    "import",
    example="recon-worker statements import 2026-11-27.xml --source bank-eur",
    statuses=STATUSES,
)
@click.argument("file", type=click.File("rb"))
@click.option("--source", required=True, help="The source; a tenant's is TENANT~NAME.")
@arguments.actor()
@as_json()
def import_(file: BinaryIO, source: str, actor: str, json_too: bool) -> int:
    """Import all of FILE or nothing; - reads standard input.

    Importing the same bytes again changes nothing.
    """
    from payments_core.audit_log import Operator
    from payments_core.db.engine import transaction
    from payments_core.statements.receive import receive_file
    from payments_core.statements.sources import find_source
    from recon_worker.statements.importing.load import import_file

    name = None if file.name == "<stdin>" else file.name

    async def work(engine: "AsyncEngine", settings: "WorkerSettings") -> int:
        async with transaction(engine) as tx:
            row = await find_source(tx, source, None)
        with output.progress("bytes received", _size_of(file)) as advance:
            received, new = await receive_file(
                engine,
                row,
                _bytes_of(file, advance),
                file_name=name,
                operator=Operator(actor),
                bytes_max=settings.statement_bytes_max,
            )
        with output.progress("bytes imported", received.size_bytes) as advance:
            decided = await import_file(engine, received.id, advance)
        return await _say(engine, settings, decided, new=new, json_too=json_too)

    return run(work)


def _size_of(file: BinaryIO) -> int:
    return Path(file.name).stat().st_size if file.seekable() and file.name != "<stdin>" else 0


async def _bytes_of(file: BinaryIO, advance: Callable[[int], None]) -> AsyncIterator[bytes]:
    while data := file.read(READ_BYTES):
        advance(len(data))
        yield data


async def _say(
    engine: "AsyncEngine",
    settings: "WorkerSettings",
    file: "AnyRow",
    *,
    new: bool,
    json_too: bool,
) -> int:
    """Print the file's new state; return the exit status."""
    from payments_core.cli.database import name_of
    from payments_core.db.engine import transaction

    async with transaction(engine) as tx:
        shown = await _described(tx, file.id)
    if json_too:
        output.print_json({**shown, "new": new}, indent=2)
    elif file.status == "accepted":
        lines = sum(each["line_count"] - each["known_count"] for each in shown["statements"])
        known = sum(each["known_count"] for each in shown["statements"])
        again = "" if new else "; these bytes were received before"
        print(
            f"file {file.id} in {name_of(settings)}:"
            f" {output.counted(len(shown['statements']), 'statement')},"
            f" {output.counted(lines, 'new line')}, {output.counted(known, 'known line')}{again}"
        )
    else:
        print(
            f"file {file.id} is {file.status} in {name_of(settings)}:"
            f" {output.escaped(f'{file.problem_at}: {file.problem}')}",
            file=sys.stderr,
        )
    return 0 if file.status == "accepted" else 1


async def _described(tx: "AsyncConnection", file_id: UUID) -> dict[str, Any]:
    from payments_core.statements.files import find_file, statements_of

    file = as_dict(await find_file(tx, file_id))
    return {**file, "statements": [as_dict(each) for each in await statements_of(tx, file_id)]}


@statements.command(
    "list",
    example="recon-worker statements list --status quarantined",
    statuses="0 done; 1 the source is unknown; 2 the database failed.",
)
@click.option("--source", help="Only files of this source.")
@click.option("--status", type=click.Choice(FILE_STATUSES), help="Only files in this status.")
@arguments.list_limit("Files")
@click.option("--before", type=click.UUID, help="Continue a list: files older than this one.")
@as_json("Print one JSON object per line.")
def list_(
    source: str | None, status: str | None, limit: int, before: UUID | None, json_too: bool
) -> int:
    """List received files, newest first."""
    from payments_core.db.engine import transaction
    from payments_core.db.keyset import Walk
    from payments_core.statements.files import list_files
    from payments_core.statements.sources import find_source

    async def work(engine: "AsyncEngine", _: "WorkerSettings") -> int:
        async with transaction(engine) as tx:
            of = None if source is None else (await find_source(tx, source, None)).id
            found = await list_files(tx, limit + 1, source_id=of, status=status, walk=Walk(before))
        _print_files(found[:limit], json_too=json_too)
        if len(found) > limit:
            output.more("--before", found[limit - 1].id)
        return 0

    return run(work)


def _print_files(found: "Sequence[AnyRow]", *, json_too: bool) -> None:
    from payments_core.statements.sources import stored_source_name

    if json_too:
        for file in found:
            output.print_json(as_dict(file))
        return
    rows = [
        (
            str(file.id),
            stored_source_name(file.source_name, file.tenant),
            file.status,
            output.shown_time(file.created_at),
            file.file_name or "-",
            "-" if file.problem is None else f"{file.problem_at}: {file.problem}",
        )
        for file in found
    ]
    headings = ("ID", "SOURCE", "STATUS", "RECEIVED", "NAME", "PROBLEM")
    output.print_table(headings, rows, ("PROBLEM", "NAME"), "no statement files")


FILE_ID = click.argument("file_id", metavar="ID", type=click.UUID)


@statements.command(
    example="recon-worker statements show 01930000-0000-7000-8000-000000000000",
    statuses="0 done; 1 the file is unknown; 2 the database failed.",
)
@FILE_ID
@as_json("Print JSON; this command always does.")
def show(file_id: UUID, json_too: bool) -> int:
    """Print the file with this ID and its statements as JSON."""
    from payments_core.db.engine import transaction

    async def work(engine: "AsyncEngine", _: "WorkerSettings") -> int:
        async with transaction(engine) as tx:
            output.print_json(await _described(tx, file_id), indent=2)
        return 0

    return run(work)


@statements.command(
    example="recon-worker statements accept 01930000-0000-7000-8000-000000000000"
    " --reason 'the bank confirms the balance by phone'",
    statuses=STATUSES,
)
@FILE_ID
@arguments.reason()
@arguments.actor()
@as_json()
def accept(file_id: UUID, reason: str, actor: str, json_too: bool) -> int:
    """Import the quarantined file with this ID although it does not add up."""
    from payments_core.audit_log import Operator
    from payments_core.db.engine import transaction
    from payments_core.statements.files import decide
    from recon_worker.statements.importing.load import import_file

    async def work(engine: "AsyncEngine", settings: "WorkerSettings") -> int:
        async with transaction(engine) as tx:
            file = await decide(tx, file_id, Operator(actor), reason, accept=True)
        with output.progress("bytes imported", file.size_bytes) as advance:
            decided = await import_file(engine, file_id, advance)
        return await _say(engine, settings, decided, new=True, json_too=json_too)

    return run(work)


@statements.command(
    example="recon-worker statements reject 01930000-0000-7000-8000-000000000000"
    " --reason 'of another account'",
    statuses="0 rejected; 1 the file is unknown or not quarantined; 2 the database failed.",
)
@FILE_ID
@arguments.reason()
@arguments.actor()
@as_json()
def reject(file_id: UUID, reason: str, actor: str, json_too: bool) -> int:
    """Reject the quarantined file with this ID; its bytes are kept."""
    from payments_core.audit_log import Operator
    from payments_core.cli.database import name_of
    from payments_core.db.engine import transaction
    from payments_core.statements.files import decide

    async def work(engine: "AsyncEngine", settings: "WorkerSettings") -> int:
        async with transaction(engine) as tx:
            await decide(tx, file_id, Operator(actor), reason, accept=False)
        if json_too:
            output.print_json({"rejected": file_id})
        else:
            print(f"rejected file {file_id} in {name_of(settings)}")
        return 0

    return run(work)


@statements.command(
    example="recon-worker statements export 01930000-0000-7000-8000-000000000000 > received.xml",
    statuses="0 written; 1 the file is unknown or damaged; 2 the database failed.",
)
@FILE_ID
def export(file_id: UUID) -> int:
    """Write the bytes of the file with this ID, as received, to standard output."""
    from payments_core.db.engine import transaction
    from payments_core.statements.files import find_file, read_file

    async def work(engine: "AsyncEngine", _: "WorkerSettings") -> int:
        async with transaction(engine) as tx:
            async for data in read_file(tx, await find_file(tx, file_id)):
                sys.stdout.buffer.write(data)
        return 0

    return run(work)
