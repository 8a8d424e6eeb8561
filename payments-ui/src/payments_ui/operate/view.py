"""What the operator's page shows at a glance, each part with its own fate."""

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
    """None stands for a part that the API did not answer."""

    queue: QueueStats | None
    chart: BarChart | None
    workers: list[Worker] | None
    audit: Audit | None

    @property
    def unavailable(self) -> bool:
        """Whether nothing at all could be had."""
        return not any((self.queue, self.chart, self.workers is not None, self.audit))


shared_overview = PerApp[SharedRead[Overview]]("overview")


async def or_none(answer: Awaitable[T]) -> T | None:
    """The answer, or None where the API gave none. Raises KeyNotAccepted: that mends nothing."""
    try:
        return await answer
    except KeyNotAccepted:
        raise
    except (ApiProblem, ApiUnavailable):
        return None


async def read_overview(client: ApiClient) -> Overview:
    """All parts, asked for at once."""
    queue, throughput, workers, audit = await asyncio.gather(
        or_none(client.queue_stats()),
        or_none(client.throughput(THROUGHPUT_MINUTES)),
        or_none(client.workers()),
        or_none(client.audit()),
    )
    chart = throughput_chart(throughput) if throughput else None
    return Overview(queue, chart, workers, audit)
