"""Run automations.yaml as Ona does, on a machine without Ona.

    python -m payments_ona.as_ona [--file automations.yaml] [--then validate]

Starts all that a new environment triggers: tasks after their dependencies, services at once and in
no order. Polls `ready` until it exits with 0. Then runs the tasks of --then, or waits for Ctrl-C,
and stops every service as Ona does: its `stop` command, then SIGKILL for its `start`. Exits with 1
if a task failed, a service ended or did not become ready, or a stop needed the SIGKILL.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from payments_local.errors import LocalError
from payments_local.settings import REPOSITORY, LocalSettings

TRIGGER = "postDevcontainerStart"  # The first start of an environment.
READY_POLL_SECONDS = 1.0
READINESS_SECONDS_DEFAULT = 120.0
TASK_SECONDS_MAX = 900.0
STOP_SECONDS_MAX = 120.0
LAST_LINES = 15


@dataclass
class Run:
    """One shell command in its own session, with its output in a file."""

    name: str
    command: str
    log: Path
    process: subprocess.Popen[bytes] = field(init=False)
    begun: int = field(init=False)  # Where its output begins in the file, which runs share.

    def __post_init__(self) -> None:
        with self.log.open("ab") as output:
            self.begun = output.tell()
            self.process = subprocess.Popen(  # noqa: S602 - what the file says, as Ona does.
                self.command,
                shell=True,
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self) -> None:
        """Send SIGKILL to the shell and all its descendants."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def output(self) -> str:
        """Return what it has printed."""
        return self.log.read_bytes()[self.begun :].decode(errors="replace")

    def last_lines(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-LAST_LINES:]
        return "".join(f"    {line}\n" for line in lines)


class Environment:
    """A started automations file."""

    def __init__(self, automations: Mapping[str, Any], logs: Path) -> None:
        self.tasks: Mapping[str, Any] = automations.get("tasks", {})
        self.services: Mapping[str, Any] = automations.get("services", {})
        self.logs = logs
        self.done: set[str] = set()
        self.starts: dict[str, Run] = {}
        logs.mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        """Start all that the first start triggers. Return when tasks are done and services ready.

        Raises LocalError for the first failure.
        """
        for name, service in self.services.items():
            if TRIGGER in service.get("triggeredBy", []):
                self.starts[name] = self._run(f"service {name}", service["commands"]["start"])
        for name, task in self.tasks.items():
            if TRIGGER in task.get("triggeredBy", []):
                self.run_task(name)
        for name in self.starts:
            self._wait_until_ready(name)

    def run_task(self, name: str, *, show: bool = False) -> None:
        """Run the task after its dependencies, each once. Raises LocalError if one fails."""
        if name in self.done:
            return
        for needed in self.tasks[name].get("dependsOn", []):
            self.run_task(needed)
        started = time.monotonic()
        run = self._run(f"task {name}", self.tasks[name]["command"])
        try:
            status = run.process.wait(TASK_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            run.kill()
            raise LocalError(f"task {name} took more than {TASK_SECONDS_MAX:.0f} s") from None
        if status != 0:
            raise LocalError(f"task {name} failed with status {status}:\n{run.last_lines()}")
        self.done.add(name)
        if show:
            _say(run.output())
        _say(f"task {name}: done in {time.monotonic() - started:.1f} s")

    def watch(self) -> None:
        """Wait until Ctrl-C. Raises LocalError if a service ends."""
        while True:
            for run in self.starts.values():
                self._must_run(run)
            time.sleep(READY_POLL_SECONDS)

    def stop(self) -> list[str]:
        """Stop all services at once. Return one line for each failure."""
        with ThreadPoolExecutor(max_workers=max(1, len(self.starts))) as pool:
            problems = list(pool.map(self._stop_one, self.starts))
        return [problem for problem in problems if problem]

    def _stop_one(self, name: str) -> str | None:
        start, started = self.starts[name], time.monotonic()
        command = self.services[name]["commands"].get("stop")
        if command is None:
            start.process.terminate()
        else:
            stop = self._run(f"stop {name}", command)
            try:
                status = stop.process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                stop.kill()
                return f"{name}: stop took more than {STOP_SECONDS_MAX:.0f} s"
            if status != 0:
                return f"{name}: stop failed with status {status}:\n{stop.last_lines()}"
        try:
            status = start.process.wait(5.0)  # The command itself ends after the service.
        except subprocess.TimeoutExpired:
            start.kill()
            return f"{name}: start still ran after stop, and was killed"
        if status != 0:
            return f"{name}: start ended with status {status}:\n{start.last_lines()}"
        _say(f"service {name}: stopped in {time.monotonic() - started:.1f} s")
        return None

    def _wait_until_ready(self, name: str) -> None:
        service, started = self.services[name], time.monotonic()
        text = service.get("readinessTimeout", f"{READINESS_SECONDS_DEFAULT}s")
        seconds_max = float(text.removesuffix("s"))
        while True:
            ready = self._run(f"ready {name}", service["commands"]["ready"])
            if ready.process.wait() == 0:
                _say(f"service {name}: ready")
                return
            self._must_run(self.starts[name])
            if time.monotonic() - started > seconds_max:
                raise LocalError(f"{name} not ready in {seconds_max:.0f} s:\n{ready.last_lines()}")
            time.sleep(READY_POLL_SECONDS)

    def _must_run(self, run: Run) -> None:
        status = run.process.poll()
        if status is not None:
            raise LocalError(f"{run.name} ended with status {status}:\n{run.last_lines()}")

    def _run(self, name: str, command: str) -> Run:
        return Run(name, command, self.logs / f"{name.replace(' ', '-')}.log")


def _say(text: str) -> None:
    print(text, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="payments_ona.as_ona", description=__doc__)
    parser.add_argument("--file", type=Path, default=REPOSITORY / "automations.yaml")
    parser.add_argument("--then", nargs="+", default=[], help="tasks to run, then stop all")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    automations = yaml.safe_load(options.file.read_text())
    try:
        logs = LocalSettings.from_environ(os.environ).data_dir / "ona-logs"
    except LocalError as error:
        error.show()
        return 1
    environment = Environment(automations, logs)
    problems: list[str] = []
    try:
        environment.start()
        for task in options.then:
            environment.run_task(task, show=True)
        if not options.then:
            _say("Everything is ready. Ctrl-C stops it.")
            environment.watch()
    except LocalError as error:
        problems.append(str(error))
    except KeyboardInterrupt:
        _say("stopping")
    problems += environment.stop()
    for problem in problems:
        sys.stderr.write(f"error: {problem}\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
