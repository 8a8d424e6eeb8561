"""The frame of a command about statements: its database, its settings and its refusals."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from payments_core.db.engine import AnyRow
    from recon_worker.settings import WorkerSettings

Work = Callable[["AsyncEngine", "WorkerSettings"], Awaitable[int]]


def run(work: Work) -> int:
    """Run the work on the database; return its exit status, or 1 after one line if it refuses."""
    from payments_core.cli.database import run_on_database
    from payments_core.config import read_settings
    from payments_core.matching.adjustments import ApproverIsProposer
    from payments_core.matching.matches import ItemNotFound, MatchRefused
    from payments_core.statements import files, receive, sources
    from recon_worker.settings import WorkerSettings
    from recon_worker.statements.importing.load import STATEMENT_SECONDS_MAX

    settings = read_settings(WorkerSettings)
    refusals = (
        *(sources.SourceNotFound, sources.SourceExists, sources.SourceRefused),
        *(files.FileNotFound, files.FileNotQuarantined, files.FileNotAcceptable),
        *(files.FileDamaged, receive.FileEmpty, receive.FileTooLarge),
        *(ItemNotFound, MatchRefused, ApproverIsProposer),
    )
    return run_on_database(
        settings,
        lambda engine: work(engine, settings),
        "recon-worker-cli",
        STATEMENT_SECONDS_MAX,
        refusals,
    )


def as_dict(row: "AnyRow") -> dict[str, Any]:
    """Return the row's columns, hashes in hexadecimal."""
    return {
        name: value.hex() if isinstance(value, bytes) else value
        for name, value in row._asdict().items()
    }
