"""Seven checks of a real payment against the running system: its API and its database."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import httpx

from payments_core.cli.database import DATABASE_ERRORS, database_failure
from payments_core.config import is_loopback
from payments_core.db.engine import connect
from payments_core.domain.statuses import PENDING, SETTLED_STATUSES

AMOUNT = Decimal("42.50")
SETTLED_WITHIN_SECONDS = 30.0

NOT_RUN = "➖ not run"  # After a failure that leaves nothing to check.

CHECKS = (
    "Payment creation",
    "Database persistence",
    "Job queue",
    "Worker processing",
    "Ledger updates",
    "Balance endpoint",
    "Idempotency",
)


class CheckFailed(Exception):
    """A check failed; the message states the expected and the actual value."""


class Validation:
    """One run, with its own account and key, so that runs do not interfere."""

    def __init__(self, api: httpx.AsyncClient, database: "asyncpg.Connection[Any]") -> None:
        self.api = api
        self.database = database
        self.account_id = f"validate-{uuid4()}"
        self.key = str(uuid4())
        self.created: httpx.Response | None = None
        self.payment: dict[str, Any] = {}

    async def _post(self) -> httpx.Response:
        # Written as text, so that the amount is a JSON number with exactly these digits.
        body = f'{{"accountId": {json.dumps(self.account_id)}, "amount": {AMOUNT}}}'
        headers = {"Idempotency-Key": self.key, "Content-Type": "application/json"}
        return await self.api.post("/payments", content=body, headers=headers)

    async def payment_creation(self) -> str:
        """POST /payments returns 201 with a pending payment."""
        self.created = await self._post()
        _expect("status of POST /payments", 201, self.created.status_code, self.created.text)
        self.payment = self.created.json()
        _expect("status in the answer", "pending", self.payment["status"])
        _expect("amount in the answer", str(AMOUNT), self.payment["amount"])
        return f"payment {self.payment['id']} of {AMOUNT} USD"

    async def database_persistence(self) -> str:
        """The payment's row equals the request."""
        row = await self.database.fetchrow(
            "SELECT account_id, amount, currency, idempotency_key FROM payments WHERE id = $1",
            self.payment["id"],
        )
        expected = (self.account_id, AMOUNT, "USD", self.key)
        _expect("the row in payments", expected, row and tuple(row))
        return "the row in payments equals the request"

    async def job_queue(self) -> str:
        """The payment has exactly one job."""
        jobs = await self.database.fetch(
            "SELECT id, status FROM recon_jobs WHERE payment_id = $1", self.payment["id"]
        )
        _expect("jobs of the payment in recon_jobs", 1, len(jobs))
        return f"job {jobs[0]['id']} is {jobs[0]['status']}"

    async def worker_processing(self) -> str:
        """A worker settles the payment."""
        status, waited = PENDING, 0.0
        while status not in SETTLED_STATUSES and waited < SETTLED_WITHIN_SECONDS:
            await asyncio.sleep(0.05)
            waited += 0.05
            answer = await self.api.get(f"/payments/{self.payment['id']}")
            _expect("status of GET /payments/{id}", 200, answer.status_code, answer.text)
            self.payment = answer.json()
            status = self.payment["status"]
        what = f"payment's status after {waited:.0f} s (is a worker running?)"
        _expect(what, "completed", status)
        matched = (self.payment["reconciliation"] or {}).get("matched")
        _expect("reconciliation.matched", True, matched)
        job = self.payment["job"]  # Only for an API key with jobs:admin.
        return f"completed by {job['lockedBy']}" if job else "completed"

    async def ledger_updates(self) -> str:
        """The ledger has two legs that balance."""
        legs = await self.database.fetch(
            "SELECT entry_type, direction, account_id, amount FROM ledger_entries"
            " WHERE payment_id = $1 ORDER BY id",
            self.payment["id"],
        )
        posted = [(leg["entry_type"], leg["direction"], leg["amount"]) for leg in legs]
        expected = [("payment", "credit", AMOUNT), ("clearing", "debit", AMOUNT)]
        _expect("ledger entries of the payment", expected, posted)
        _expect("credited account", self.account_id, legs[0]["account_id"])
        return f"{self.account_id} credited, {legs[1]['account_id']} debited"

    async def balance_endpoint(self) -> str:
        """The API's balance equals the ledger's."""
        answer = await self.api.get(f"/accounts/{self.account_id}/balance")
        _expect("status of GET /accounts/{id}/balance", 200, answer.status_code, answer.text)
        ledger = await self.database.fetchval(
            "SELECT sum(CASE direction WHEN 'credit' THEN amount ELSE -amount END)"
            " FROM ledger_entries WHERE account_id = $1 AND currency = 'USD'",
            self.account_id,
        )
        _expect("balance", ledger, Decimal(answer.json()["balance"]))
        return f"{answer.json()['balance']} USD, equal to the ledger's sum"

    async def idempotency(self) -> str:
        """A repeated request returns the same payment, byte for byte."""
        again = await self._post()
        _expect("status of the repeated POST", 201, again.status_code, again.text)
        assert self.created is not None, "creation came first"
        _expect("body of the repeated POST", self.created.content, again.content)
        _expect("Idempotency-Replayed", "true", again.headers.get("Idempotency-Replayed"))
        count = await self.database.fetchval(
            "SELECT count(*) FROM payments WHERE idempotency_key = $1", self.key
        )
        _expect("payments with this key", 1, count)
        return "the same answer, and still one payment"


def _expect(what: str, expected: object, actual: object, context: str = "") -> None:
    if expected != actual:
        message = f"{what}: expected {expected!r}, found {actual!r}. {context}"
        raise CheckFailed(message.rstrip(". "))


async def validate(
    api_url: str, dsn: str, api_key: str | None = None, *, as_json: bool = False
) -> int:
    """Run all checks, print each and the summary; return 0 if all passed, 1 if one failed.

    Return 2 after one line on standard error if the API or the database does not answer, or if
    the database refuses. With authentication on, pass a key without a tenant: stored rows are
    compared unchanged.
    """
    try:
        database = await connect(dsn, command_timeout=10)
    except DATABASE_ERRORS as error:
        return _fail(database_failure(error))
    try:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        # HTTP_PROXY is for other machines.
        by_proxy = not is_loopback(urlsplit(api_url).hostname or "")
        async with httpx.AsyncClient(
            base_url=api_url, timeout=10, headers=headers, trust_env=by_proxy
        ) as api:
            await api.get("/livez")
            report = _as_json if as_json else _as_text
            return await report(api_url, Validation(api, database))
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, ValueError) as error:
        return _fail(f"{api_url} is not the address of an API: {error}")
    except httpx.TransportError as error:
        return _fail(f"no API answers at {api_url} ({_reason(error)}): start it, or name another")
    finally:
        await database.close()


def _fail(reason: str) -> int:
    print(f"validate: {reason}", file=sys.stderr)
    return 2


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


async def _run(validation: Validation) -> AsyncIterator[tuple[str, bool, str]]:
    """Yield the name, success and detail of each check."""
    for name in CHECKS:
        check: Callable[[], Awaitable[str]] = getattr(validation, name.lower().replace(" ", "_"))
        try:
            detail = await check()
        except BrokenPipeError:
            raise
        except (CheckFailed, httpx.HTTPError, LookupError, ValueError, *DATABASE_ERRORS) as error:
            yield name, False, _reason(error)
            if not validation.payment:
                return  # Without a payment there is nothing to check.
        else:
            yield name, True, detail


async def _as_text(api_url: str, validation: Validation) -> int:
    print(f"Validating {api_url}\n")
    passed: dict[str, bool] = {}
    async for name, ok, detail in _run(validation):
        passed[name] = ok
        print(f"{_mark(ok)} {len(passed)}. {name}: {detail}")
    all_passed = all(passed.get(name, False) for name in CHECKS)
    print("\n✅ ALL VALIDATION CHECKS PASSED" if all_passed else "\n❌ VALIDATION FAILED")
    print("\nSummary:")
    for name in CHECKS:
        print(f"  • {name}: {_mark(passed[name]) if name in passed else NOT_RUN}")
    return 0 if all_passed else 1


def _mark(passed: bool) -> str:
    return "✅" if passed else "❌"


async def _as_json(api_url: str, validation: Validation) -> int:
    checks = [
        {"name": name, "ok": passed, "detail": detail}
        async for name, passed, detail in _run(validation)
    ]
    ok = len(checks) == len(CHECKS) and all(check["ok"] for check in checks)
    print(json.dumps({"ok": ok, "api": api_url, "checks": checks}, ensure_ascii=False))
    return 0 if ok else 1
