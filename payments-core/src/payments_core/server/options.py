"""How a service is served, and the state of its process."""

import asyncio
from dataclasses import dataclass, field

CONNECTIONS_MAX = 2_000


@dataclass(slots=True)
class Lifecycle:
    """The state of one process: serving until `stopping` is set, then draining.

    `failure` names the background task whose end stopped the process; the process then exits with
    a non-zero status.
    """

    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    failure: str | None = None

    @property
    def draining(self) -> bool:
        """Whether the process is stopping; readiness fails from then on."""
        return self.stopping.is_set()

    def fail(self, task: str) -> None:
        """Stop the process because the background task of this name ended."""
        self.failure = self.failure or task
        self.stopping.set()


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """Where to listen, how many connections to hold, and how long a stop may take.

    `delay_seconds`: how long to keep accepting requests after readiness fails, so that load
    balancers notice. `drain_seconds`: how long requests under way may then take.
    `connections_max`: beyond it the longest idle connection is closed, or the new one is refused.
    `reuse_port`: whether other processes that set it may listen on the same port.
    `control_port`: a second port to listen on, whose few connections are counted apart: a service
    that is full still answers probes. `streamed`: the paths whose bodies, of any length, are read
    only as fast as the app takes them.
    """

    host: str
    port: int
    drain_seconds: float
    delay_seconds: float = 0.0
    connections_max: int = CONNECTIONS_MAX
    reuse_port: bool = False
    control_port: int | None = None
    streamed: frozenset[str] = frozenset()


class CannotServe(Exception):
    """The options cannot be met; the message says why."""


class CannotListen(CannotServe):
    """The address is in use, or does not belong to this machine."""


class BackgroundTaskFailed(Exception):
    """A background task ended, so the service stopped; the message names the task."""
