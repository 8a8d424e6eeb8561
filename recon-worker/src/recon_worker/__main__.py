"""The command line `recon-worker`, from running to auditing, reconciling and webhooks."""

import click

from payments_core.cli.program import Program, version
from recon_worker.audit_cli import audit
from recon_worker.jobs_cli import jobs
from recon_worker.statements.cli import statements
from recon_worker.statements.matching.commands.reconcile import reconcile
from recon_worker.statements.sources_cli import sources
from recon_worker.webhooks.commands.webhooks import webhooks

NAME = "recon-worker"


@click.group(NAME, cls=Program, settings="recon_worker.settings:WorkerSettings")
@version(NAME)
def program() -> None:
    """Settle payments, post the ledger, audit and seal it, reconcile statements, send webhooks."""


@program.command(
    "run",
    example="RECON_WORKER_PORT=4002 recon-worker run",
    statuses="0 stopped by SIGTERM or SIGINT; 1 cannot run, or a background task failed;"
    " 2 a setting is invalid.",
)
def run_() -> None:
    """Work until SIGTERM, then drain."""
    from payments_core.config import read_settings
    from payments_core.server.run import run
    from recon_worker.app import run_worker
    from recon_worker.settings import WorkerSettings

    settings = read_settings(WorkerSettings)
    run(lambda: run_worker(settings))


@program.command(
    example="recon-worker healthcheck && echo ready",
    statuses="0 the running worker is ready; 1 it is not, or does not answer;"
    " 2 a setting is invalid.",
)
def healthcheck() -> int:
    """Check that the running worker is ready."""
    from payments_core.config import read_settings
    from payments_core.http.healthcheck import healthcheck
    from recon_worker.settings import WorkerSettings

    settings = read_settings(WorkerSettings)
    return healthcheck(settings.host, settings.port)


program.add_command(audit)
program.add_command(jobs)
program.add_command(sources)
program.add_command(statements)
program.add_command(reconcile)
program.add_command(webhooks)


def main() -> None:
    """Run the command, and exit with its status."""
    program.main()


if __name__ == "__main__":
    main()
