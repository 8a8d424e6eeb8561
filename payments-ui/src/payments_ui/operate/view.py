"""The operators' overview; each part may fail alone."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeVar

from payments_ui.api.client import ApiClient, ApiProblem, ApiUnavailable, KeyNotAccepted
from payments_ui.api.shared_read import SharedRead
from payments_ui.api.types import Audit, QueueStats, Worker
from payments_ui.per_app import PerApp
from payments_ui.web.charts import BarChart, throughput_chart

THROUGHPUT_MINUTES = 15
T = TypeVar("T")


@dataclass(frozen=True)
class Overview:
    """The parts of the overview; None for one that the API did not answer."""

    queue: QueueStats | None
    chart: BarChart | None
    workers: list[Worker] | None
    audit: Audit | None

    @property
    def alive(self) -> list[Worker]:
        """The workers that reported lately; empty too if the API did not answer."""
        return [worker for worker in self.workers or () if worker["alive"]]

    @property
    def gone(self) -> list[Worker]:
        """The workers that reported within the last day, but not lately."""
        return [worker for worker in self.workers or () if not worker["alive"]]

    @property
    def unavailable(self) -> bool:
        """Whether the API answered for no part."""
        return not any((self.queue, self.chart, self.workers is not None, self.audit))


shared_overview = PerApp[SharedRead[Overview]]("overview")
# The queue and the workers alone: every open page asks for these.
shared_attention = PerApp[SharedRead[Overview]]("attention")


async def or_none(answer: Awaitable[T]) -> T | None:
    """Return the answer, or None if the API gave none. Raises KeyNotAccepted."""
    try:
        return await answer
    except KeyNotAccepted:
        raise
    except (ApiProblem, ApiUnavailable):
        return None


async def read_overview(client: ApiClient) -> Overview:
    """Read all parts at once."""
    queue, throughput, workers, audit = await asyncio.gather(
        or_none(client.queue_stats()),
        or_none(client.throughput(THROUGHPUT_MINUTES)),
        or_none(client.workers()),
        or_none(client.audit()),
    )
    chart = throughput_chart(throughput) if throughput else None
    return Overview(queue, chart, workers, audit)


async def read_attention(client: ApiClient) -> Overview:
    """Read the parts that an operator may have to act on."""
    queue, workers = await asyncio.gather(or_none(client.queue_stats()), or_none(client.workers()))
    return Overview(queue, None, workers, None)
