"""`python -m payments_local up | reset | backup | restore | drill | with-postgres COMMAND`.

The Makefile calls it.
"""

import argparse
import os
import signal
import subprocess
import sys

from payments_local import data_folder
from payments_local.announcement import announcement
from payments_local.backup import cli as backup
from payments_local.errors import LocalError
from payments_local.exec_child import die_with_parent
from payments_local.output import Terminal
from payments_local.postgres import running_postgres
from payments_local.services import plan
from payments_local.settings import LocalSettings
from payments_local.supervisor import Supervisor


def main() -> int:
    """Run the command; return its exit status. An expected failure is one line on stderr."""
    options = _parser().parse_args()
    try:
        if options.verb == "up":
            _up(stop_with_parent=options.stop_with_parent)
            return 0
        if options.verb == "reset":
            sys.stdout.write(f"{data_folder.reset(_settings().data_dir)}\n")
            return 0
        if options.verb == "with-postgres":
            return _with_postgres(options.command)
        backup.run(options, _settings())
    except LocalError as error:
        sys.stderr.write(f"error: {error}\n")
        return getattr(error, "status", 1)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m payments_local",
        description="Run the whole system on this machine, and back its database up.",
        epilog="Exit status: 0 done; 1 the books in a backup are invalid, or `up` failed; 2 a"
        " command on backups failed and replaced nothing, or the arguments are wrong.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up", help="run the whole system until Ctrl-C")
    up.add_argument(
        "--stop-with-parent",
        action="store_true",
        help="stop when the process that started this one (make) is killed",
    )
    verbs.add_parser("reset", help="delete the data of `up`")
    backup.add_commands(verbs)
    on_postgres = verbs.add_parser(
        "with-postgres", help="run a command with DATABASE_URL of a throw-away server"
    )
    on_postgres.add_argument("command", nargs=argparse.REMAINDER)
    return parser


def _settings() -> LocalSettings:
    return LocalSettings.from_environ(os.environ)


def _up(*, stop_with_parent: bool) -> None:
    settings = _settings()
    terminal = Terminal(as_json=os.environ.get("LOG_FORMAT") == "json")
    supervisor = Supervisor(
        settings,
        plan(settings),
        terminal,
        announcement(settings),
    )
    if stop_with_parent:
        die_with_parent(os.getppid(), signal.SIGTERM)
    supervisor.run()


def _with_postgres(command: list[str]) -> int:
    """Run the command; return its status. SIGTERM ends the command, then the server."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with running_postgres() as server:
        environ = {**os.environ, "DATABASE_URL": server.url}
        return subprocess.run(command, env=environ, check=False).returncode  # noqa: S603 - the caller's


if __name__ == "__main__":
    sys.exit(main())
