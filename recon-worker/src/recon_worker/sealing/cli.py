"""The options of `recon-worker audit` about seals: verify the chain, export and check heads."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_core.cli.files import new_file
from payments_core.cli.output import counted, escaped, file_problem, progress
from payments_core.db.engine import single_statement
from recon_worker.audit.invariant import OFFENDERS_SHOWN_MAX
from recon_worker.sealing.background import record_problem
from recon_worker.sealing.chain import LAST_IDS, read_head, sign_head
from recon_worker.sealing.compare import SealFinding, never_handed_out
from recon_worker.sealing.format import GENESIS
from recon_worker.sealing.heads import (
    KeptHead,
    NoHead,
    check_heads,
    export_head,
    head_fields,
    read_heads,
)
from recon_worker.sealing.verify import Walk, verify_chain, walk_before

CLEAR_PROBLEM = """
UPDATE seal_verification
SET problem = NULL, problem_seq = NULL, problem_entry_id = NULL, problem_result_id = NULL,
    problem_at = NULL
WHERE problem IS NOT NULL AND ($1 OR problem NOT LIKE 'head_%')"""


@dataclass(frozen=True, slots=True)
class SealOptions:
    """The options of `recon-worker audit` about seals."""

    seal: bool = False
    first: int | None = None
    export_head: str | None = None
    check_head: str | None = None
    sign_head: bool = False
    json: bool = False


async def run(engine: AsyncEngine, options: SealOptions, keys: Sequence[bytes]) -> int:
    """Run the command; return its exit status: 0 intact, 1 tampered with, 2 not checked."""
    if options.sign_head:
        return await _sign(engine, keys)
    async with single_statement(engine) as connection:
        if options.export_head is not None:
            return await _export(connection, options.export_head)
        try:
            heads = [] if options.check_head is None else _heads_in(options.check_head)
        except (OSError, UnicodeDecodeError, NoHead) as error:
            return _fail(f"--check-head {options.check_head}: {file_problem(error)}")
        # The ranges differ greatly in size, so a generic plan would be slow for some.
        await connection.exec_driver_sql("SET plan_cache_mode = force_custom_plan")
        walk = Walk()
        findings = await check_heads(connection, heads)
        if options.seal:
            try:
                walk = await walk_before(connection, options.first or 1, keys)
            except LookupError as error:
                return _fail(f"--from {options.first}: {error}")
            findings = sorted(
                [*await _verify(connection, walk, keys), *findings],
                key=SealFinding.position,
            )
            whole = options.first in (None, 1)
            await _record(connection, findings, whole=whole, headed=bool(heads))
        report = await _report(connection, walk, heads, findings)
    unsealed = report["unsealed_entries_at_most"] + report["unsealed_results_at_most"]
    if options.seal and report["head"] is None and unsealed and not findings:
        return _fail(
            f"nothing is sealed yet, up to {unsealed} rows are unsealed: nothing to verify"
        )
    print(json.dumps(report) if options.json else _as_text(report, options))
    return 1 if findings else 0


async def _sign(engine: AsyncEngine, keys: Sequence[bytes]) -> int:
    if not keys:
        return _fail("--sign-head: set RECON_WORKER_SEAL_KEY_FILE")
    seal = await sign_head(engine, keys)
    if seal is None:
        return _fail("another process is sealing; try again later")
    print(json.dumps(head_fields(seal)))
    return 0


async def _export(connection: AsyncConnection, target: str) -> int:
    head = await export_head(connection)
    if head is None:
        return _fail("nothing is sealed yet: there is no head")
    if target == "-":
        print(json.dumps(head))
        return 0
    return _write(Path(target), f"{json.dumps(head)}\n")


def _write(path: Path, text: str) -> int:
    """Write the file whole or not at all: the head before is evidence."""
    try:
        if path.is_symlink() or (path.exists() and not path.is_file()):  # /dev/stdout, or a pipe.
            path.write_text(text)
        else:
            with new_file(path) as file:
                file.write(text.encode())
    except OSError as error:
        return _fail(f"--export-head {path}: {file_problem(error)}")
    return 0


def _heads_in(source: str) -> list[KeptHead]:
    if source == "-":
        return read_heads(sys.stdin)
    with Path(source).open() as lines:
        return read_heads(lines)


async def _verify(
    connection: AsyncConnection, walk: Walk, keys: Sequence[bytes]
) -> list[SealFinding]:
    head = await read_head(connection)
    done = 0
    with progress("seals", head.seq - walk.head.seq) as advance:
        async for _ in verify_chain(connection, walk, head.seq, keys):
            advance(walk.seals - done)
            done = walk.seals
    if keys and head != GENESIS and not walk.signed:
        why = "no seal has a MAC by a known key: rewritten without it, or never signed with it"
        walk.findings.append(SealFinding("seal_unsigned", head.seq, why))
    return [*walk.findings, *await never_handed_out(connection, head)]


async def _record(
    connection: AsyncConnection, findings: Sequence[SealFinding], *, whole: bool, headed: bool
) -> None:
    """Store the first finding for metrics and the alert; clear it after an intact full check.

    Clearing a missing or rewritten head also needs heads kept elsewhere: a chain that was cut off
    or rewritten is consistent in itself.
    """
    if findings:
        await record_problem(connection, findings[0])
    elif whole:
        await connection.exec_driver_sql(CLEAR_PROBLEM, (headed,))


async def _report(
    connection: AsyncConnection,
    walk: Walk,
    heads: Sequence[KeptHead],
    findings: Sequence[SealFinding],
) -> dict[str, Any]:
    head = await export_head(connection)
    last = (await connection.exec_driver_sql(LAST_IDS)).one()
    covered = await read_head(connection)
    return {
        "ok": not findings,
        "seals_verified": walk.seals,
        "entries_verified": walk.entries,
        "results_verified": walk.results,
        "heads_checked": len(heads),
        "head": head,
        "unsealed_entries_at_most": max(0, last.entry_id - covered.to_entry_id),
        "unsealed_results_at_most": max(0, last.result_id - covered.to_result_id),
        "findings_total": len(findings),
        "findings": [
            {
                "kind": finding.kind,
                "seal": finding.seq,
                "entry_id": finding.entry_id,
                "result_id": finding.result_id,
                "payment_id": finding.payment_id,
                "detail": finding.detail,
            }
            for finding in findings[:OFFENDERS_SHOWN_MAX]
        ],
    }


def _as_text(report: dict[str, Any], options: SealOptions) -> str:
    lines = [
        f"{finding['kind'].upper():<14}  {_position(finding)}: {finding['detail']}"
        for finding in report["findings"]
    ]
    more = report["findings_total"] - len(report["findings"])
    if more:
        lines.append(f"... and {more} more")
    if options.check_head is not None:
        lines.append(f"{counted(report['heads_checked'], 'kept head')} compared with the chain")
    if options.seal:
        lines.append(
            f"{counted(report['seals_verified'], 'seal')} of"
            f" {counted(report['entries_verified'], 'entry')} and"
            f" {counted(report['results_verified'], 'result')} with their payments verified;"
            f" {_unsealed(report)}"
        )
    lines.append("the chain is NOT intact" if report["findings"] else "the chain is intact")
    return "\n".join(lines)


def _unsealed(report: dict[str, Any]) -> str:
    entries, results = report["unsealed_entries_at_most"], report["unsealed_results_at_most"]
    if not entries and not results:
        return "everything is sealed"
    return f"up to {counted(entries, 'entry')} and {counted(results, 'result')} are not sealed yet"


def _position(finding: dict[str, Any]) -> str:
    seal = f"seal {finding['seal']}"
    payment = f" of payment {finding['payment_id']}" if finding["payment_id"] else ""
    for row in ("entry", "result"):
        if finding[f"{row}_id"] is not None:
            return f"{row} {finding[f'{row}_id']}{payment} in {seal}"
    return seal


def _fail(reason: str) -> int:
    print(escaped(reason), file=sys.stderr)
    return 2
