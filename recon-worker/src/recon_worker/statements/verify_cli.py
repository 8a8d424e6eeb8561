"""`recon-worker statements verify`: compare files' bytes with what is stored of them."""

import sys
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import TYPE_CHECKING
from uuid import UUID

import click

from payments_core.cli import arguments, output
from payments_core.cli.program import Command, as_json
from recon_worker.statements.command_frame import run

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from payments_core.db.engine import AnyRow
    from recon_worker.settings import WorkerSettings

PAGE_FILES = 100
NEWEST_MAX = 1_000_000


@click.command(
    cls=Command,
    example="recon-worker statements verify\nrecon-worker statements verify --newest 100",
    statuses="0 every file agrees; 1 a difference, or the file is unknown; 2 the database failed.",
)
@click.argument("file_id", metavar="[ID]", type=click.UUID, required=False)
@click.option(
    "--newest",
    type=arguments.WholeNumber(NEWEST_MAX),
    help="Verify only the newest NUMBER accepted files.",
)
@as_json()
def verify(file_id: UUID | None, newest: int | None, json_too: bool) -> int:
    """Read accepted files, or the one with this ID, and compare their bytes with what is stored.

    Names lines that were forged, changed or removed, even if every check of the auditor passes.
    Takes about as long as the imports took. A release that reads a format differently reports
    differences too.
    """
    from recon_worker.statements.importing.verify import Difference, verify_file

    async def work(engine: "AsyncEngine", _: "WorkerSettings") -> int:
        files, found = 0, list[Difference]()
        with output.progress("bytes read", 0) as advance:
            async for file in _accepted(engine, file_id, newest):
                files += 1
                found += await verify_file(engine, file, advance)
        if json_too:
            output.print_json(
                {"files": files, "differences": [asdict(each) for each in found]}, indent=2
            )
        else:
            for each in found:
                of = "" if each.statement is None else f", statement {each.statement}"
                print(f"file {each.file_id}{of}: {output.escaped(each.problem)}", file=sys.stderr)
            print(f"{output.counted(files, 'file')}, {output.counted(len(found), 'difference')}")
        return 1 if found else 0

    return run(work)


async def _accepted(
    engine: "AsyncEngine", file_id: UUID | None, newest: int | None
) -> AsyncIterator["AnyRow"]:
    """Yield the file, or the accepted files, newest first."""
    from payments_core.db.engine import transaction
    from payments_core.db.keyset import Walk
    from payments_core.statements.files import find_file, list_files

    if file_id is not None:
        async with transaction(engine) as tx:
            yield await find_file(tx, file_id)
        return
    before, left = None, NEWEST_MAX if newest is None else newest
    while left:
        async with transaction(engine) as tx:
            page = await list_files(tx, min(left, PAGE_FILES), status="accepted", walk=Walk(before))
        for file in page:
            yield file
        if not page:
            return
        before, left = page[-1].id, left - len(page)
