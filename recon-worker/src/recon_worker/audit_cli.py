"""`recon-worker audit`: check the invariants, or the chain of seals."""

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from payments_core.cli import arguments, output
from payments_core.cli.program import Command, as_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine

    from recon_worker.audit.findings import Finding
    from recon_worker.audit.invariant import Window

FULL_AUDIT_STATEMENT_SECONDS = 3600  # Some statements read the whole ledger.
SEAL_MAX = 10**18 - 1


@click.command(
    cls=Command,
    example="recon-worker audit --full\n"
    "recon-worker audit --export-head head.json\n"
    "recon-worker audit --seal --check-head head.json",
    statuses="0 every invariant holds, or the chain is intact; 1 an invariant is violated, or"
    " sealed rows were tampered with; 2 could not be checked: no database, file or seal.",
)
@click.option("--full", is_flag=True, help="Check all rows, not only new ones.")
@click.option("--seal", is_flag=True, help="Verify every seal and all sealed rows.")
@click.option(
    "--from",
    "first",
    metavar="SEQ",
    type=arguments.WholeNumber(SEAL_MAX),
    help="With --seal: start at this seal.",
)
@click.option("--export-head", metavar="FILE", help="Write the chain's head as JSON; - for stdout.")
@click.option(
    "--check-head",
    metavar="FILE",
    help="Check that the chain contains each head in FILE, a log or an exported head.",
)
@click.option(
    "--sign-head",
    is_flag=True,
    help="Accept the current chain: sign it with the first key of RECON_WORKER_SEAL_KEY_FILE.",
)
@as_json("Print the report as JSON.")
def audit(full: bool, json_too: bool, **about_seals: Any) -> int:
    """Check every invariant of the books, or the chain of seals."""
    from payments_core.cli.database import run_on_database
    from payments_core.config import read_settings
    from payments_core.db.engine import STATEMENT_TIMEOUT_SECONDS
    from recon_worker.settings import WorkerSettings

    _check_options(full=full, json_too=json_too, **about_seals)
    settings = read_settings(WorkerSettings)
    seconds: float = FULL_AUDIT_STATEMENT_SECONDS if full else STATEMENT_TIMEOUT_SECONDS

    async def work(engine: "AsyncEngine") -> int:
        if any(value not in (None, False) for value in about_seals.values()):
            from recon_worker.sealing import cli
            from recon_worker.sealing.format import read_keys

            options = cli.SealOptions(json=json_too, **about_seals)
            return await cli.run(engine, options, read_keys(settings.seal_key_file))
        return await _audit_invariants(engine, full=full, json_too=json_too)

    return run_on_database(settings, work, "recon-worker-cli", seconds)


def _check_options(
    *,
    full: bool,
    json_too: bool,
    seal: bool,
    first: int | None,
    export_head: str | None,
    check_head: str | None,
    sign_head: bool,
) -> None:
    """Raise click.UsageError if options conflict."""
    # An empty name is a name: what was to be checked must not be skipped.
    verifying, exporting = seal or check_head is not None, export_head is not None
    if full and (verifying or exporting or sign_head):
        raise click.UsageError("--full concerns the invariants: run it without options about seals")
    if first and not seal:
        raise click.UsageError("--from needs --seal")
    if sum((exporting, sign_head, verifying)) > 1:
        raise click.UsageError(
            "--export-head and --sign-head cannot be combined with other options"
        )
    if json_too and (exporting or sign_head):
        raise click.UsageError("--export-head and --sign-head print JSON without --json")


async def _audit_invariants(engine: "AsyncEngine", *, full: bool, json_too: bool) -> int:
    from recon_worker.audit.auditor import audit, rows_by_window

    if full:
        sizes, total = await rows_by_window(engine)
        with output.progress("rows", total) as advance:
            findings = await audit(engine, "full", _advancing(sizes, advance))
    else:
        findings = await audit(engine, "incremental")
    if findings is None:
        print("another audit is running; try again later", file=sys.stderr)
        return 2
    broken = sum(1 for finding in findings if finding.offending)
    if json_too:
        print(json.dumps(_as_report(findings), default=str))
    else:
        print(_as_table(findings, output.terminal_width()))
        total_text = f"{broken} of {len(findings)} invariants broken"
        print(f"\n{total_text if broken else 'all invariants hold'}")
    return 1 if broken else 0


def _advancing(
    sizes: "dict[Window, int]", advance: "Callable[[int], None]"
) -> "Callable[[Window, int | None], None]":
    """Return the auditor's callback, which counts a statement over a whole table as its rows."""
    return lambda window, rows: advance(sizes.get(window, 0) if rows is None else rows)


def _as_report(findings: "Sequence[Finding]") -> dict[str, Any]:
    return {
        "ok": not any(finding.offending for finding in findings),
        "invariants": [
            {
                "name": finding.invariant.name,
                "title": finding.invariant.title,
                "offending": finding.offending,
                "offenders": [dict(row) for row in finding.offenders],
            }
            for finding in findings
        ],
    }


def _as_table(findings: "Sequence[Finding]", width: int | None = None) -> str:
    """Return one line for each invariant, followed by its offending rows.

    Titles are cut to the width, rows never.
    """
    lines = []
    names = max(len(finding.invariant.name) for finding in findings)
    for finding in findings:
        mark = "ok    " if not finding.offending else "BROKEN"
        line = f"{mark}  {finding.invariant.name:<{names}} {finding.invariant.title}"
        lines.append(line if width is None or len(line) <= width else f"{line[: width - 1]}…")
        lines.extend(
            " " * 10 + "  ".join(f"{key}={value}" for key, value in row.items())
            for row in finding.offenders
        )
        more = finding.offending - len(finding.offenders)
        if more > 0:
            lines.append(f"          ... and {more} more")
    return "\n".join(lines)
