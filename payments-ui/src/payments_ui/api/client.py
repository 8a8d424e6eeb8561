"""The routes of payments-api that the page calls, with the types of their answers."""

from collections.abc import Mapping
from typing import Any, cast

from payments_ui.api import types as api
from payments_ui.api.connection import ApiConnection, Params, operator_header, segment
from payments_ui.api.errors import json_of
from payments_ui.per_app import PerApp


class ApiClient(ApiConnection):
    """Calls payments-api. Every method raises ApiUnavailable or ApiProblem."""

    async def create_payment(
        self, body: Mapping[str, Any], idempotency_key: str, operator: str | None = None
    ) -> tuple[api.CreatedPayment, bool]:
        """Create a payment, once per key. Returns it, and whether it already existed."""
        headers = {"Idempotency-Key": idempotency_key, **operator_header(operator)}
        response = await self._send("POST", "/payments", body=body, headers=headers)
        replayed = response.headers.get("Idempotency-Replayed", "").lower() == "true"
        return cast("api.CreatedPayment", json_of(response)), replayed

    async def payments(self, params: Params) -> api.PaymentPage:
        """Return a page of payments; `params` are the API's filters, order and paging."""
        return cast("api.PaymentPage", await self.get("/payments", params))

    async def payment_totals(self, params: Params) -> api.PaymentTotals:
        """Return the number and sum of the payments that match the API's filters."""
        return cast("api.PaymentTotals", await self.get("/payments/totals", params))

    async def payment(self, payment_id: str) -> api.PaymentDetail:
        """Return a payment with its job, reconciliation and ledger entries."""
        return cast("api.PaymentDetail", await self.get(f"/payments/{segment(payment_id)}"))

    async def reverse(
        self,
        payment_id: str,
        body: Mapping[str, str],
        idempotency_key: str,
        operator: str | None = None,
    ) -> api.CreatedReversal:
        """Reverse a payment, once per key."""
        path = f"/payments/{segment(payment_id)}/reversals"
        headers = {"Idempotency-Key": idempotency_key, **operator_header(operator)}
        response = await self._send("POST", path, body=body, headers=headers)
        return cast("api.CreatedReversal", json_of(response))

    async def reversals(self, payment_id: str, params: Params) -> api.ReversalPage:
        """Return a page of a payment's reversals, newest first."""
        path = f"/payments/{segment(payment_id)}/reversals"
        return cast("api.ReversalPage", await self.get(path, params))

    async def accounts(self, params: Params) -> api.AccountPage:
        """Return a page of accounts by name; `params` are prefix, order and paging."""
        return cast("api.AccountPage", await self.get("/accounts", params))

    async def account_totals(self, prefix: str) -> api.AccountTotals:
        """Return the number of accounts with the prefix, and the sum of their balances."""
        return cast("api.AccountTotals", await self.get("/accounts/totals", {"prefix": prefix}))

    async def currencies(self, account_id: str) -> list[str]:
        """Return the currencies of an account's postings."""
        answer = await self.get(f"/accounts/{segment(account_id)}/currencies")
        return cast("list[str]", answer["currencies"])

    async def balance(self, account_id: str, currency: str) -> api.Balance:
        """Return the account's current balance."""
        path = f"/accounts/{segment(account_id)}/balance"
        return cast("api.Balance", await self.get(path, {"currency": currency}))

    async def balance_history(self, account_id: str, params: Params) -> api.BalanceHistory:
        """Return the account's balance over time, by a bounded number of its entries."""
        path = f"/accounts/{segment(account_id)}/balance-history"
        return cast("api.BalanceHistory", await self.get(path, params))

    async def entries(self, account_id: str, params: Params) -> api.Statement:
        """Return a page of the account's statement, newest first."""
        path = f"/accounts/{segment(account_id)}/entries"
        return cast("api.Statement", await self.get(path, params))

    async def queue_stats(self) -> api.QueueStats:
        """Return the depth of the queue."""
        return cast("api.QueueStats", await self.get("/jobs/stats"))

    async def throughput(self, minutes: int, bucket_seconds: int) -> api.Throughput:
        """Return the payments settled in the last minutes, by bucket."""
        params = {"minutes": minutes, "bucketSeconds": bucket_seconds}
        return cast("api.Throughput", await self.get("/throughput", params))

    async def workers(self) -> list[api.Worker]:
        """Return the workers and their leases."""
        return cast("list[api.Worker]", (await self.get("/workers"))["workers"])

    async def audit(self) -> api.Audit:
        """Return the auditor's latest finding on each invariant."""
        return cast("api.Audit", await self.get("/audit"))

    async def seal(self) -> api.Seal:
        """Return the head of the chain of seals, and how far sealing is behind."""
        return cast("api.Seal", await self.get("/seal"))

    async def dead_letter_groups(self) -> api.DeadLetterGroups:
        """Return the dead letters by error, the latest failure first."""
        return cast("api.DeadLetterGroups", await self.get("/jobs/groups"))

    async def jobs(self, params: Params) -> api.JobPage:
        """Return a page of jobs, newest first."""
        return cast("api.JobPage", await self.get("/jobs", params))

    async def job(self, job_id: str) -> api.Job:
        """Return a job."""
        return cast("api.Job", await self.get(f"/jobs/{segment(job_id)}"))

    async def actions(self, params: Params) -> api.OperatorRecordPage:
        """Return a page of operator actions, newest first."""
        return cast("api.OperatorRecordPage", await self.get("/operator-actions", params))

    async def settle_dead_letter(
        self, job_id: str, action: str, body: Mapping[str, str], operator: str | None = None
    ) -> api.Job:
        """Replay or discard a dead letter, recorded under the operator's name."""
        path = f"/jobs/{segment(job_id)}/{segment(action)}"
        response = await self._send("POST", path, body=body, headers=operator_header(operator))
        return cast("api.Job", json_of(response))

    async def settle_dead_letters(
        self, action: str, body: Mapping[str, Any], operator: str | None = None
    ) -> "api.Replayed | api.Discarded":
        """Replay or discard the dead letters that match; with dryRun, only count them."""
        path = f"/jobs/{segment(action)}"
        response = await self._send("POST", path, body=body, headers=operator_header(operator))
        return cast("api.Replayed", json_of(response))


api_client = PerApp[ApiClient]("api_client")
