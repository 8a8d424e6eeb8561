"""Start everything in order, watch it, and stop it in the opposite order: `make up`.

One thread decides. Signal handlers and the children's reader threads only put events into its
queue, so a stop is possible at any moment of the start.
"""

import signal
import time
from contextlib import ExitStack, suppress
from queue import Empty, SimpleQueue
from types import FrameType
from typing import NoReturn

from payments_local import data_folder, ports
from payments_local.children import Child, ChildSpec
from payments_local.errors import LocalError, StopRequested
from payments_local.output import Terminal
from payments_local.postgres import EmbeddedPostgres
from payments_local.services import READY_SECONDS_MAX, Plan, Service, readiness
from payments_local.settings import LocalSettings

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
READY_POLL_SECONDS = 0.1
# To detect a child that has ended while one of its descendants holds its output open.
LOOK_SECONDS = 1.0
MIGRATE_SECONDS_MAX = 300.0
LAST_WORDS = 5
# For all services together: more deaths in the window have a cause that no restart removes.
RESTARTS_MAX, RESTART_WINDOW_SECONDS = 3, 60.0


class Supervisor:
    """One run of the system. The announcement is printed once, when all is ready."""

    def __init__(
        self, settings: LocalSettings, plan: Plan, terminal: Terminal, announcement: str
    ) -> None:
        self._settings = settings
        self._plan = plan
        self._terminal = terminal
        self._announcement = announcement
        self._events: SimpleQueue[object] = SimpleQueue()
        self._children: list[Child] = []
        self._restarts: list[float] = []
        terminal.on_failure = self.request_stop

    def request_stop(self, number: int = signal.SIGTERM, frame: FrameType | None = None) -> None:
        """Request a stop. Also a signal handler, in which SimpleQueue.put is safe."""
        self._events.put(signal.Signals(number))

    def run(self) -> None:
        """Run until a stop is requested, then leave nothing running.

        Raises LocalError on a failure, and OutputFailed if the output's was one.
        """
        for number in STOP_SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # `nohup` ignores SIGHUP on purpose.
                signal.signal(number, self.request_stop)
        with suppress(StopRequested):
            self._serve()
        self._terminal.say("stopped")
        if self._terminal.failure is not None:
            raise self._terminal.failure

    def _serve(self) -> NoReturn:
        """Start all and watch all; in any case stop all at the end and unlock the folder."""
        ports.refuse_taken(self._settings.ports())
        with ExitStack() as stack:
            if not self._settings.database_url:
                stack.enter_context(data_folder.held(self._settings.data_dir))
            stack.callback(self._stop_all)
            if not self._settings.database_url:
                self._start_postgres()
            self._run_to_end(self._plan.migrate)
            for service in self._plan.services:
                self._start(service.spec)
            for service in self._plan.services:
                self._wait_until_ready(service)
            self._terminal.say(self._announcement)
            self._watch()

    def _watch(self) -> NoReturn:
        """Restart a service that dies; raise if it dies again before it is ready."""
        starting: dict[str, float] = {}
        while True:
            if self._terminal.reader_left():  # make passes no SIGHUP of a closed terminal on.
                raise StopRequested
            try:
                self._pause(READY_POLL_SECONDS if starting else LOOK_SECONDS)
            except ChildDied as death:
                if death.name in starting:
                    raise
                self._restart(death)
                starting[death.name] = time.monotonic() + READY_SECONDS_MAX
            for service in self._plan.services:
                name = service.spec.name
                if name not in starting:
                    continue
                answer = readiness(service.port)
                if answer is None:
                    del starting[name]
                    self._terminal.say(f"{name} is ready again")
                elif time.monotonic() > starting[name]:
                    raise LocalError(
                        f"{name} is not ready {READY_SECONDS_MAX:.0f} s after: {answer}"
                    )

    def _restart(self, death: "ChildDied") -> None:
        """Start the service again. Raises ChildDied for Postgres, or after too many deaths.

        Postgres is not restarted, for the safety of its data; its last lines say what to do.
        """
        specs = {service.spec.name: service.spec for service in self._plan.services}
        now = time.monotonic()
        self._restarts = [at for at in self._restarts if now - at < RESTART_WINDOW_SECONDS]
        if death.name not in specs or len(self._restarts) >= RESTARTS_MAX:
            raise death
        self._restarts.append(now)
        self._terminal.say(f"{death}\nrestarting {death.name} ...")
        place = next(at for at, child in enumerate(self._children) if child.name == death.name)
        self._children[place] = self._child(specs[death.name])

    def _start_postgres(self) -> None:
        server = EmbeddedPostgres(
            data_folder.postgres_dir(self._settings.data_dir),
            self._settings.pg_port,
            start_child=self._start,
        )
        # `start` reports the end of Postgres itself, because it knows PostgreSQL's messages.
        server.start(pause=lambda seconds: self._pause(seconds, ending=self._children[-1]))

    def _start(self, spec: ChildSpec) -> Child:
        child = self._child(spec)
        self._children.append(child)
        return child

    def _child(self, spec: ChildSpec) -> Child:
        return Child(spec, self._terminal.line, self._events.put)

    def _run_to_end(self, spec: ChildSpec) -> None:
        child = self._start(spec)
        deadline = time.monotonic() + MIGRATE_SECONDS_MAX
        while child.exit_status is None:
            if time.monotonic() > deadline:
                raise LocalError(f"{child.name} is not done after {MIGRATE_SECONDS_MAX:.0f} s")
            self._pause(LOOK_SECONDS, ending=child)
        child.force()
        self._children.remove(child)
        if child.exit_status != 0:
            raise ChildDied(child)

    def _wait_until_ready(self, service: Service) -> None:
        deadline = time.monotonic() + READY_SECONDS_MAX
        while (answer := readiness(service.port)) is not None:
            if time.monotonic() > deadline:
                raise LocalError(
                    f"{service.spec.name} is not ready after {READY_SECONDS_MAX:.0f} s: {answer}"
                )
            self._pause(READY_POLL_SECONDS)

    def _pause(self, seconds: float, ending: Child | None = None) -> None:
        """Wait for an event, within bounds. `ending` is the one child that may end.

        Raises StopRequested, or ChildDied.
        """
        try:
            event = self._events.get(timeout=seconds)
        except Empty:
            event = None
        if event in STOP_SIGNALS:
            raise StopRequested
        for child in self._children:
            if child is not ending and child.exit_status is not None:
                child.force()
                raise ChildDied(child)

    def _stop_all(self) -> None:
        """Stop UI, API, worker and Postgres in order, each within its own time.

        Ctrl-C then forces all; SIGTERM does not, because it may arrive twice, from a group and from
        make.
        """
        if self._children:
            self._terminal.say("stopping (Ctrl-C again to force) ...")
        while self._children:
            child = self._children[-1]
            child.ask_to_stop()
            if not self._ended_in_time(child):
                self._terminal.say(f"{child.name} did not stop in time: ending it by force")
            child.force()
            self._children.pop()

    def _ended_in_time(self, child: Child) -> bool:
        deadline = time.monotonic() + child.spec.stop_seconds_max
        while child.exit_status is None:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            try:
                forced = self._events.get(timeout=min(left, LOOK_SECONDS)) is signal.SIGINT
            except Empty:
                continue
            if forced:
                for other in reversed(self._children):
                    other.force()
        return True


class ChildDied(LocalError):
    """A child ended by itself; the message says how, with its last lines."""

    exit_code = 1

    def __init__(self, child: Child) -> None:
        lines = [line for line in child.last_lines if line.strip()][-LAST_WORDS:]
        words = "".join(f"\n  {line}" for line in lines)
        super().__init__(f"{child.name} {child.how_it_ended()}; its last lines:{words or ' none'}")
        self.name = child.name
