"""`recon-worker statements import-received`: the process in which the worker imports files."""

import os
import sys
from typing import TYPE_CHECKING

import click

from payments_core.cli import output
from payments_core.cli.program import Command
from recon_worker.statements.command_frame import run

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from recon_worker.settings import WorkerSettings

NICENESS = 10  # Weighs a tenth beside a process of usual priority.


@click.command(
    "import-received",
    cls=Command,
    example="recon-worker statements import-received",
    statuses="0 no received file is left; 2 the database failed.",
)
def import_received() -> int:
    """Import the files that the API has received, oldest first.

    Prints one line of JSON for each. The worker runs this by itself, at a low priority.
    """
    from recon_worker.statements.importing.load import import_next

    os.nice(NICENESS)

    async def work(engine: "AsyncEngine", _settings: "WorkerSettings") -> int:
        while (file := await import_next(engine)) is not None:
            output.print_json(
                {
                    "file": file.id,
                    "source_id": file.source_id,
                    "status": file.status,
                    "bytes": file.size_bytes,
                    "problem": file.problem,
                    "problem_at": file.problem_at,
                }
            )
            sys.stdout.flush()  # Buffered in a pipe; the worker counts each file when it is done.
        return 0

    return run(work)
