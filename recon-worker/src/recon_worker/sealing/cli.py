"""`recon-worker audit --seal` and its kin: verify the chain of seals, keep and check its heads."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_core.db.engine import single_statement
from recon_worker.audit.invariants import OFFENDERS_SHOWN_MAX
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

SEAL_HELP = """\
Sealed entries, results and payments. Exit status: 0 intact, 1 tampered with (each finding is
printed, in the order of the seals), 2 could not be checked: no answer, no such file, no seal.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `recon-worker audit` understands about seals."""
    group = parser.add_argument_group("the chain of seals", SEAL_HELP)
    group.add_argument(
        "--seal", action="store_true", help="verify every seal and all that is sealed"
    )
    group.add_argument(
        "--from", dest="first", metavar="SEQ", type=_seq, help="with --seal: from this seal on"
    )
    group.add_argument(
        "--export-head", metavar="FILE", help="write the chain's head as JSON; - is this terminal"
    )
    group.add_argument(
        "--check-head",
        metavar="FILE",
        help="the chain must hold every head in FILE: a log, or what --export-head wrote",
    )
    group.add_argument(
        "--sign-head",
        action="store_true",
        help="accept the chain as it is: sign it with the first key of RECON_WORKER_SEAL_KEY_FILE",
    )
    group.add_argument("--json", action="store_true", help="findings as one JSON object")


def is_wanted(arguments: argparse.Namespace) -> bool:
    """Whether the command is about seals."""
    about = (arguments.seal, arguments.export_head, arguments.check_head, arguments.sign_head)
    return any(about)


def refuse_nonsense(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """End with a usage error for options that do not go together."""
    if arguments.full and is_wanted(arguments):
        parser.error("--full is of the invariants; run it by itself")
    if arguments.first and not arguments.seal:
        parser.error("--from goes with --seal")
    verifying = arguments.seal or arguments.check_head
    if arguments.json and not verifying:
        parser.error("--json goes with --seal or --check-head")
    alone = [arguments.export_head, arguments.sign_head]
    if sum(map(bool, (*alone, verifying))) > 1:
        parser.error("--export-head and --sign-head go alone")


def _seq(raw: str) -> int:
    if not (raw.isascii() and raw.isdigit() and len(raw) < 19 and int(raw) >= 1):
        raise argparse.ArgumentTypeError(f"must be a seal's number from 1 on, not {raw!r}")
    return int(raw)


async def run(engine: AsyncEngine, arguments: argparse.Namespace, keys: Sequence[bytes]) -> int:
    """Do what was asked; the exit status."""
    if arguments.sign_head:
        return await _sign(engine, keys)
    async with single_statement(engine) as connection:
        if arguments.export_head:
            return await _export(connection, arguments.export_head)
        try:
            heads = _heads_in(arguments.check_head) if arguments.check_head else []
        except (OSError, UnicodeDecodeError, NoHead) as error:
            return _cannot(f"--check-head {arguments.check_head}: {error}")
        # The ranges of a pass have very different sizes: one plan for all would be the trap.
        await connection.exec_driver_sql("SET plan_cache_mode = force_custom_plan")
        walk = Walk()
        findings = await check_heads(connection, heads)
        if arguments.seal:
            try:
                walk = await walk_before(connection, arguments.first or 1, keys)
            except LookupError as error:
                return _cannot(f"--from {arguments.first}: {error}")
            findings = sorted(
                [*await _verify(connection, walk, keys), *findings],
                key=SealFinding.place,
            )
            whole = arguments.first in (None, 1)
            await _keep(connection, findings, whole=whole, headed=bool(heads))
        report = await _report(connection, walk, heads, findings)
    unsealed = report["unsealed_entries_at_most"] + report["unsealed_results_at_most"]
    if arguments.seal and report["head"] is None and unsealed and not findings:
        return _cannot(f"nothing is sealed, of {unsealed} rows at most: no seal, no evidence")
    print(json.dumps(report) if arguments.json else _as_text(report, arguments))
    return 1 if findings else 0


async def _sign(engine: AsyncEngine, keys: Sequence[bytes]) -> int:
    if not keys:
        return _cannot("--sign-head: set RECON_WORKER_SEAL_KEY_FILE")
    seal = await sign_head(engine, keys)
    if seal is None:
        return _cannot("another process is sealing; try again in a moment")
    print(json.dumps(head_fields(seal)))
    return 0


async def _export(connection: AsyncConnection, target: str) -> int:
    head = await export_head(connection)
    if head is None:
        return _cannot("nothing is sealed yet: there is no head")
    if target == "-":
        print(json.dumps(head))
        return 0
    return _write(Path(target), f"{json.dumps(head)}\n")


def _write(path: Path, text: str) -> int:
    try:
        path.write_text(text)
    except OSError as error:
        return _cannot(f"--export-head: {error}")
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
    async for _ in verify_chain(connection, walk, head.seq, keys):
        pass
    if keys and head != GENESIS and not walk.signed:
        why = "no seal has a MAC of a known key: rewritten without it, or never signed with it"
        walk.findings.append(SealFinding("seal_unsigned", head.seq, why))
    return [*walk.findings, *await never_handed_out(connection, head)]


async def _keep(
    connection: AsyncConnection, findings: Sequence[SealFinding], *, whole: bool, headed: bool
) -> None:
    """Have metrics and alert say what was found; only a look at everything clears them.

    A head that a worker missed is cleared only by comparing with heads kept elsewhere: a chain
    that was cut off or rewritten looks right by itself.
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
                "kind": found.kind,
                "seal": found.seq,
                "entry_id": found.entry_id,
                "result_id": found.result_id,
                "payment_id": found.payment_id,
                "detail": found.detail,
            }
            for found in findings[:OFFENDERS_SHOWN_MAX]
        ],
    }


def _as_text(report: dict[str, Any], arguments: argparse.Namespace) -> str:
    lines = [
        f"{found['kind'].upper():<14}  {_place(found)}: {found['detail']}"
        for found in report["findings"]
    ]
    more = report["findings_total"] - len(report["findings"])
    if more:
        lines.append(f"... and {more} more")
    if arguments.check_head:
        lines.append(f"{report['heads_checked']} kept heads compared with the chain")
    if arguments.seal:
        lines.append(
            f"{report['seals_verified']} seals of {report['entries_verified']} entries and"
            f" {report['results_verified']} results with their payments verified; at most"
            f" {report['unsealed_entries_at_most']} entries and"
            f" {report['unsealed_results_at_most']} results are not sealed yet"
        )
    first = report["findings"][0] if report["findings"] else None
    lines.append("all is as it was sealed" if first is None else "NOT as it was sealed")
    return "\n".join(lines)


def _place(found: dict[str, Any]) -> str:
    seal = f"seal {found['seal']}"
    payment = f" of payment {found['payment_id']}" if found["payment_id"] else ""
    for row in ("entry", "result"):
        if found[f"{row}_id"] is not None:
            return f"{row} {found[f'{row}_id']}{payment} in {seal}"
    return seal


def _cannot(reason: str) -> int:
    print(reason, file=sys.stderr)
    return 2
