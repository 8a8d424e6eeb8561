"""The verdict after a run: is every promised payment there, once, and does nothing hang?

The expected state is computed from the clients' own log and the README's rules, without any product
code; then the auditor checks it too.
"""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import httpx

from payments_core.db.engine import create_engine
from recon_worker.audit.auditor import audit
from recon_worker.audit.findings import Finding
from testkit.chaos.promises import Promises
from testkit.chaos.system.running import POISONED, System
from testkit.database.backlog import Stored
from testkit.database.reversals import StoredReversal
from testkit.database.sql import Sql
from testkit.model.ledger import assert_ledger_is_of
from testkit.waiting import until

OPEN_TRANSACTION_SECONDS_MAX = 60.0  # Longer than every timeout of the services.
QUIET_SECONDS_MAX = 30.0
AUDIT_SECONDS_MAX = 60.0
DIFFERENCES_SHOWN_MAX = 5

PAYMENTS = """
SELECT p.idempotency_key, p.id, p.account_id, p.amount, p.currency, p.description, p.status,
       j.status AS job, j.last_error,
       (SELECT count(*) FROM recon_jobs WHERE payment_id = p.id) AS jobs
FROM payments p LEFT JOIN recon_jobs j ON j.payment_id = p.id"""
REVERSALS = """
SELECT r.idempotency_key, r.id, r.payment_id, r.amount, r.reason, r.status, j.status AS job,
       (SELECT count(*) FROM recon_jobs WHERE reversal_id = r.id) AS jobs
FROM reversals r LEFT JOIN recon_jobs j ON j.reversal_id = r.id"""
# All services are idle: no transaction may be open, and none may wait for a lock.
HANGING = """
SELECT pid, application_name, state, wait_event, now() - xact_start AS open_for, query
FROM pg_stat_activity
WHERE backend_type = 'client backend' AND application_name <> 'chaos'
  AND (state LIKE 'idle in transaction%'
       OR xact_start < now() - make_interval(secs => $1)
       OR EXISTS (SELECT FROM pg_locks l WHERE l.pid = pg_stat_activity.pid AND NOT granted))"""


@dataclass
class Verdict:
    """A run's failures in words, none if all is well. `figures`: the counts."""

    wrong: list[str] = field(default_factory=list)
    figures: Counter[str] = field(default_factory=Counter)

    def differ(self, what: str, found: set[str]) -> None:
        """Note each of these as a failure, in bounded length."""
        if found:
            some = ", ".join(sorted(found)[:DIFFERENCES_SHOWN_MAX])
            self.wrong.append(f"{len(found)} {what}: {some}")


async def judge(system: System, promises: Promises) -> Verdict:
    """Compare the system, at rest and still running, with its promises."""
    verdict = Verdict()
    async with system.database.connection() as sql:
        rows = {row["idempotency_key"]: row for row in await sql.fetch(PAYMENTS)}
        reversals = {row["idempotency_key"]: row for row in await sql.fetch(REVERSALS)}
        _each_accepted_once(verdict, promises, rows | reversals)
        settled = _each_job_finished(verdict, rows)
        settled_reversals = _each_reversal_settled(verdict, reversals)
        try:
            await assert_ledger_is_of(sql, settled, settled_reversals)
        except (AssertionError, KeyError) as error:
            verdict.wrong.append(f"the ledger is not the model's: {str(error)[:1000]}")
        await _balances_agree(verdict, system, settled, settled_reversals)
        await _nothing_hangs(verdict, sql)
    await _auditor_agrees(verdict, system.database.server.url)
    return verdict


def _each_accepted_once(
    verdict: Verdict, promises: Promises, rows: dict[str, asyncpg.Record]
) -> None:
    verdict.differ("keys without an outcome", promises.open_keys)
    verdict.differ("accepted payments are lost", promises.answers.keys() - rows.keys())
    verdict.differ("refused payments are there", promises.refused.keys() & rows.keys())
    verdict.differ("payments nobody sent", rows.keys() - promises.orders.keys())
    ids = Counter(row["id"] for row in rows.values())
    verdict.differ("ids used twice", {str(n) for n, times in ids.items() if times > 1})
    for key, text in promises.answers.items():
        if key not in rows:
            continue
        order, answer, row = promises.orders[key], json.loads(text), rows[key]
        amount, description = Decimal(order["amount"]), order.get("description", "")
        if "reverses" in order:
            asked: tuple[Any, ...] = (order["reverses"], amount, order["reason"])
            stored: tuple[Any, ...] = (str(row["payment_id"]), row["amount"], row["reason"])
        else:
            asked = (order["accountId"], amount, order["currency"], description)
            stored = (row["account_id"], row["amount"], row["currency"], row["description"])
        if stored != asked or str(row["id"]) != answer["id"]:
            verdict.wrong.append(f"{key} was {asked}, answered {answer}, and is {dict(row)}")
    reversals = sum("reverses" in promises.orders[key] for key in promises.answers)
    verdict.figures["payments accepted"] = len(promises.answers) - reversals
    verdict.figures["payments refused"] = len(promises.refused)


def _each_job_finished(verdict: Verdict, rows: dict[str, asyncpg.Record]) -> list[Stored]:
    """Return the payments that must be settled: all except those with a dead letter."""
    settled, dead = [], 0
    for key, row in rows.items():
        if row["jobs"] != 1:
            verdict.wrong.append(f"{key} has {row['jobs']} jobs")
        if row["job"] == "failed":
            dead += 1
            if not row["last_error"] or row["status"] != "pending":
                verdict.wrong.append(f"{key} is dead without a reason: {dict(row)}")
        elif row["job"] != "completed":
            verdict.wrong.append(f"{key} is not finished: {dict(row)}")
        elif row["account_id"] == POISONED:
            verdict.wrong.append(f"{key} cannot have been settled: {dict(row)}")
        else:
            settled.append(
                Stored(UUID(str(row["id"])), row["account_id"], row["amount"], row["currency"])
            )
    verdict.figures["dead letters"] = dead
    poisoned = sum(row["account_id"] == POISONED for row in rows.values())
    verdict.figures["of them poisoned"] = poisoned
    return settled


def _each_reversal_settled(
    verdict: Verdict, rows: dict[str, asyncpg.Record]
) -> list[StoredReversal]:
    """Return the reversals; each must be settled, because none is poisoned."""
    for key, row in rows.items():
        if (row["status"], row["job"], row["jobs"]) != ("completed", "completed", 1):
            verdict.wrong.append(f"reversal {key} is not finished: {dict(row)}")
    verdict.figures["reversals settled"] = len(rows)
    return [
        StoredReversal(UUID(str(row["id"])), UUID(str(row["payment_id"])), row["amount"])
        for row in rows.values()
    ]


async def _balances_agree(
    verdict: Verdict, system: System, settled: list[Stored], reversals: list[StoredReversal]
) -> None:
    """Compare the balances that each API reports, without the lines."""
    expected: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    places = {payment.id: (payment.account_id, payment.currency) for payment in settled}
    for payment in settled:
        expected[places[payment.id]] += max(payment.amount, Decimal(0))
    for reversal in reversals:
        expected[places[reversal.payment_id]] -= reversal.amount
    authorization = {"Authorization": f"Bearer {system.api_key}"}
    async with httpx.AsyncClient(timeout=30, headers=authorization) as client:
        for api in system.apis:
            for (account, currency), balance in expected.items():
                url = f"http://127.0.0.1:{api.port}/accounts/{account}/balance"
                answer = await client.get(url, params={"currency": currency})
                told = answer.json().get("balance", answer.text)
                if answer.status_code != 200 or Decimal(told) != balance:
                    what = f"{api.name} says {told} {currency} for {account}, not {balance}"
                    verdict.wrong.append(what)
    verdict.figures["balances compared"] = len(expected) * len(system.apis)


async def _auditor_agrees(verdict: Verdict, url: str) -> None:
    """Run a full audit, as soon as the workers' own auditor permits it."""
    engine = create_engine(url, application_name="chaos", pool_size=2)
    findings: list[Finding] | None = None

    async def audited() -> bool:
        nonlocal findings
        findings = await audit(engine, "full")
        return findings is not None

    try:
        await until(audited, AUDIT_SECONDS_MAX)
    finally:
        await engine.dispose()
    for finding in findings or ():
        if finding.offending:
            verdict.wrong.append(
                f"the auditor finds {finding.offending} against {finding.invariant.name}:"
                f" {finding.offenders[:DIFFERENCES_SHOWN_MAX]}"
            )
    verdict.figures["invariants that hold"] = sum(not f.offending for f in findings or ())


async def _nothing_hangs(verdict: Verdict, sql: Sql) -> None:
    """Check that no statement or transaction stays open."""
    hanging: list[asyncpg.Record] = []

    async def quiet() -> bool:
        nonlocal hanging
        hanging = await sql.fetch(HANGING, OPEN_TRANSACTION_SECONDS_MAX)
        return not hanging

    try:
        await until(quiet, QUIET_SECONDS_MAX)
    except TimeoutError:
        verdict.wrong.extend(f"this hangs: {dict(row)}" for row in hanging)
