"""The frame of a command of `recon-worker webhooks`: one transaction, then its result."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from payments_core.cli import output

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from recon_worker.settings import WorkerSettings

STATUSES = (
    "0 done; 1 the endpoint or delivery is unknown, disabled or invalid; 2 the database failed."
)
Work = Callable[["AsyncConnection", "WorkerSettings"], Awaitable[Any]]


def run(work: Work, say: Callable[[Any, str], None], *, json_too: bool = False) -> int:
    """Run the work in a transaction; after the commit, say its result, or print it as JSON."""
    from payments_core.cli.database import run_in_transaction
    from payments_core.config import read_settings
    from payments_core.webhooks.deliveries import DeliveryNotFound
    from payments_core.webhooks.endpoints import (
        EndpointDisabled,
        EndpointNotFound,
        EndpointRefused,
        TooManyEndpoints,
    )
    from payments_core.webhooks.resending import TooManyTests
    from recon_worker.settings import WorkerSettings

    settings = read_settings(WorkerSettings)
    refusals = (
        *(EndpointNotFound, EndpointRefused, EndpointDisabled, TooManyEndpoints),
        *(DeliveryNotFound, TooManyTests),
    )
    return run_in_transaction(
        settings,
        lambda tx: work(tx, settings),
        print_json if json_too else say,
        "recon-worker-cli",
        refusals,
    )


def print_json(result: Any, _: str = "") -> None:
    """Print the result as JSON, the items of a list one per line."""
    for value in result if isinstance(result, list) else [result]:
        output.print_json(value)
