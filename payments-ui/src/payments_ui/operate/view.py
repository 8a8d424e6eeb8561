"""The operators' overview; each part may fail alone."""

import asyncio
from dataclasses import dataclass

from payments_ui.api.client import ApiClient
from payments_ui.api.or_none import or_none
from payments_ui.api.shared_read import SharedRead, SharedReads
from payments_ui.api.types import Audit, DeadLetterGroups, QueueStats, Seal, Worker
from payments_ui.per_app import PerApp
from payments_ui.web.charts import BarChart, throughput_chart


@dataclass(frozen=True)
class Range:
    """A time range of the throughput chart, with the length of its bars."""

    minutes: int
    bucket_seconds: int
    title: str
    bar: str


RANGES = (
    Range(15, 10, "15 min", "10 s"),
    Range(60, 60, "1 h", "minute"),
    Range(360, 300, "6 h", "5 minutes"),
    Range(1440, 900, "24 h", "15 minutes"),
)


@dataclass(frozen=True)
class Overview:
    """The parts of the overview; None for one that the API did not answer."""

    queue: QueueStats | None
    chart: BarChart | None
    workers: list[Worker] | None
    audit: Audit | None
    seal: Seal | None = None

    @property
    def alive(self) -> list[Worker]:
        """The workers with a recent heartbeat; also empty if the API did not answer."""
        return [worker for worker in self.workers or () if worker["alive"]]

    @property
    def gone(self) -> list[Worker]:
        """The workers with a heartbeat within the last day, but no recent one."""
        return [worker for worker in self.workers or () if not worker["alive"]]

    @property
    def unavailable(self) -> bool:
        """Whether the API answered for no part."""
        return not any((self.queue, self.chart, self.workers is not None, self.audit))


shared_overview = PerApp[SharedRead[Overview]]("overview")
# Only the queue and the workers: every open page reads these.
shared_attention = PerApp[SharedRead[Overview]]("attention")
throughput_charts = PerApp[SharedReads[Range, BarChart | None]]("throughput_charts")
dead_letter_groups = PerApp[SharedRead[DeadLetterGroups | None]]("dead_letter_groups")


def throughput_range(minutes: str) -> Range:
    """Return the range with that number of minutes, or the shortest range."""
    return next((each for each in RANGES if str(each.minutes) == minutes), RANGES[0])


async def read_overview(client: ApiClient) -> Overview:
    """Read all parts at once."""
    queue, chart, workers, audit, seal = await asyncio.gather(
        or_none(client.queue_stats()),
        read_throughput(client, RANGES[0]),
        or_none(client.workers()),
        or_none(client.audit()),
        or_none(client.seal()),
    )
    return Overview(queue, chart, workers, audit, seal)


async def read_throughput(client: ApiClient, span: Range) -> BarChart | None:
    """Read the throughput over the range."""
    answer = await or_none(client.throughput(span.minutes, span.bucket_seconds))
    return throughput_chart(answer) if answer else None


async def read_attention(client: ApiClient) -> Overview:
    """Read the parts that an operator may have to act on."""
    queue, workers = await asyncio.gather(or_none(client.queue_stats()), or_none(client.workers()))
    return Overview(queue, None, workers, None)
