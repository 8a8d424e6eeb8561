"""`python -m payments_local up | reset | backup | restore | drill | with-postgres COMMAND`.

The Makefile calls it.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

import click

from payments_core.cli.program import Program, version
from payments_local import data_folder
from payments_local.announcement import announcement
from payments_local.backup.cli import backup, drill, restore
from payments_local.children import ChildSpec, wrapped
from payments_local.exec_child import die_with_parent
from payments_local.output import Terminal
from payments_local.postgres import running_postgres
from payments_local.services import plan
from payments_local.settings import LocalSettings
from payments_local.supervisor import Supervisor

END_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
STOP_SECONDS_MAX = 10.0  # For the command of with-postgres to clean up.


@click.group("python -m payments_local", cls=Program)
@version("payments-local")
def program() -> None:
    """Run the whole system on this machine, and back its database up."""
    for number in END_SIGNALS:  # They remove what Ctrl-C removes.
        if signal.getsignal(number) is signal.SIG_DFL:  # `nohup` ignores SIGHUP on purpose.
            signal.signal(number, _stop)


def _stop(number: int, frame: FrameType | None) -> None:
    """End the command once: the signal may arrive twice, from a group and from make."""
    for each in END_SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    sys.exit(128 + number)


@program.command(
    example="API_PORT=4001 python -m payments_local up",
    statuses="0 stopped by a signal; 1 a service ended by itself; 2 cannot run.",
)
@click.option(
    "--stop-with-parent",
    is_flag=True,
    help="Stop when the process that started this one (make) is killed.",
)
def up(stop_with_parent: bool) -> None:
    """Run the whole system until Ctrl-C."""
    settings = LocalSettings.from_environ(os.environ)
    terminal = Terminal(as_json=os.environ.get("LOG_FORMAT") == "json")
    supervisor = Supervisor(settings, plan(settings), terminal, announcement(settings))
    if stop_with_parent:
        die_with_parent(os.getppid(), signal.SIGTERM)
    supervisor.run()


@program.command(
    example="DATA_DIR=/tmp/payments python -m payments_local reset",
    statuses="0 done; 2 failed: the message says what to do.",
)
def reset() -> None:
    """Delete the data of `up`."""
    print(data_folder.reset(LocalSettings.from_environ(os.environ).data_dir))


program.add_command(backup)
program.add_command(restore)
program.add_command(drill)


@program.command(
    "with-postgres",
    example="python -m payments_local with-postgres sh -c 'echo $DATABASE_URL'",
    statuses="0 to 255 the command's own; 2 also if the server cannot run.",
    context_settings={"allow_interspersed_args": False},
)
@click.argument("command", nargs=-1, required=True)
def with_postgres(command: tuple[str, ...]) -> int:
    """Run the COMMAND with DATABASE_URL of a throw-away server.

    A signal ends the command, then the server.
    """
    with running_postgres() as server:
        environ = {**os.environ, "DATABASE_URL": server.url}
        # If this process is killed, even while it starts the command, the command ends too.
        spec = ChildSpec(command[0], command, environ, Path(), death_signal=signal.SIGTERM)
        process = subprocess.Popen(wrapped(spec), env=environ)  # noqa: S603 - the caller's
        try:
            status = process.wait()
        except BaseException:
            _end(process)
            raise
    return status if status >= 0 else 128 - status  # As a shell does.


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main() -> None:
    """Run the command, and exit with its status."""
    program.main()


if __name__ == "__main__":
    main()
