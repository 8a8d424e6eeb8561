"""The command line `recon-worker`: run, healthcheck, audit, jobs."""

import argparse
import sys
from collections.abc import Awaitable, Callable

from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.command_line import reader_may_leave, run_command
from payments_core.config import read_settings, settings_help
from payments_core.db.engine import STATEMENT_TIMEOUT_SECONDS, create_engine
from payments_core.db.url import dsn_with_password
from payments_core.http.healthcheck import healthcheck
from payments_core.server.run import run
from recon_worker import jobs_cli
from recon_worker.app import run_worker
from recon_worker.audit.auditor import as_table, audit
from recon_worker.sealing import cli
from recon_worker.sealing.format import read_keys
from recon_worker.settings import WorkerSettings

FULL_AUDIT_STATEMENT_SECONDS = 3600  # Some statements read the whole ledger.


@reader_may_leave()
def main() -> None:
    """Run the command, and exit with its status."""
    parser = _parser()
    arguments = parser.parse_args()
    if arguments.command == "audit":
        cli.check_arguments(parser, arguments)
    settings = read_settings(WorkerSettings)
    if arguments.command == "run":
        run(lambda: run_worker(settings))
    elif arguments.command == "healthcheck":
        sys.exit(healthcheck(settings.host, settings.port))
    elif arguments.command == "audit" and cli.is_about_seals(arguments):
        keys = read_keys(settings.seal_key_file)
        sys.exit(run_command(_with_engine(settings, lambda e: cli.run(e, arguments, keys))))
    elif arguments.command == "audit":
        seconds = FULL_AUDIT_STATEMENT_SECONDS if arguments.full else STATEMENT_TIMEOUT_SECONDS
        work = _with_engine(settings, lambda e: _audit(e, full=arguments.full), seconds)
        sys.exit(run_command(work))
    else:
        sys.exit(run_command(_with_engine(settings, lambda e: jobs_cli.run(e, arguments))))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="recon-worker",
        description="Claim jobs, apply the rules, post the ledger.",
        epilog=settings_help(WorkerSettings),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="work until SIGTERM, then drain")
    commands.add_parser("healthcheck", help="exit 0 if the running worker is ready")
    auditing = commands.add_parser(
        "audit", help="check every invariant, or the chain of seals; exit 1 on a violation"
    )
    auditing.add_argument("--full", action="store_true", help="check all rows, not only new ones")
    cli.add_arguments(auditing)
    jobs_cli.add_arguments(
        commands.add_parser("jobs", help="show jobs, replay or discard dead letters")
    )
    return parser


async def _with_engine(
    settings: WorkerSettings,
    work: Callable[[AsyncEngine], Awaitable[int]],
    statement_seconds: float = STATEMENT_TIMEOUT_SECONDS,
) -> int:
    dsn = dsn_with_password(settings.database_url, settings.database_password_file)
    engine = create_engine(
        dsn,
        application_name="recon-worker-cli",
        pool_size=2,
        statement_seconds=statement_seconds,
    )
    try:
        return await work(engine)
    finally:
        await engine.dispose()


async def _audit(engine: AsyncEngine, *, full: bool) -> int:
    findings = await audit(engine, "full" if full else "incremental")
    if findings is None:
        print("another audit is running; try again later", file=sys.stderr)
        return 2
    print(as_table(findings))
    broken = sum(1 for finding in findings if finding.offending)
    print(f"\n{broken} of {len(findings)} invariants broken" if broken else "\nall invariants hold")
    return 1 if broken else 0


if __name__ == "__main__":
    main()
