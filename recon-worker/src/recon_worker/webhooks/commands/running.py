"""Running a command of `recon-worker webhooks`: one transaction, then its result."""

import json
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from recon_worker.settings import WorkerSettings

STATUSES = (
    "0 done; 1 the endpoint or delivery is unknown, disabled or invalid; 2 the database failed."
)
Work = Callable[["AsyncConnection", "WorkerSettings"], Awaitable[Any]]


def run(work: Work, say: Callable[[Any, str], None]) -> int:
    """Run the work in a transaction; say its result after the commit."""
    from payments_core.cli.database import name_of, refusal, run_on_database
    from payments_core.config import read_settings
    from payments_core.db.engine import transaction
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

    async def on_engine(engine: "AsyncEngine") -> int:
        try:
            async with transaction(engine) as tx:
                result = await work(tx, settings)
        except refusals as error:
            print(refusal(error, settings), file=sys.stderr)
            return 1
        say(result, name_of(settings))
        return 0

    return run_on_database(settings, on_engine, "recon-worker-cli")


def print_json(value: Any, _: str) -> None:
    """Print the result as JSON."""
    print(json.dumps(value))


def print_lines(values: list[dict[str, Any]], database: str) -> None:
    """Print one JSON object per line."""
    for value in values:
        print_json(value, database)
