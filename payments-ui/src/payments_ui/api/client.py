"""The client of payments-api: one connection pool, every wait bounded."""

import logging
import ssl
from collections.abc import AsyncIterable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, ClassVar, NoReturn, cast
from urllib.parse import quote

import httpx2

from payments_core.observability.http_client import calling
from payments_ui.api import types as api
from payments_ui.api.settings import ApiClientSettings
from payments_ui.metrics import API_SECONDS
from payments_ui.per_app import PerApp

CONNECT_TIMEOUT_SECONDS = (
    2.0  # A host that does not accept a connection in this time counts as down.
)
POOL_TIMEOUT_SECONDS = 2.0  # Longest wait of a page for a free connection.
FILE_SECONDS_MAX = 60.0  # Longest pause between two pieces of a file, and until its answer.
CONNECTIONS_MAX = 64  # Concurrent requests of one process to the API.
STREAM_SILENCE_SECONDS_MAX = 18.0  # The API sends a comment every 15 s; a page must not look live.

Params = Mapping[str, str | int | None]
log = logging.getLogger(__name__)


@dataclass(eq=False)
class ApiUnavailable(Exception):
    """payments-api gave no usable response: it is down, restarting, too slow or overloaded."""

    why: str  # For people, after "The payments service": "did not answer in time".
    sent: bool = True  # False if the API certainly did nothing.
    key_not_accepted: ClassVar[bool] = False  # For templates.


@dataclass(eq=False)
class KeyNotAccepted(ApiUnavailable):
    """payments-api rejects the page's own key: neither the visitor nor a retry can help."""

    why: str = "does not accept this page's key"
    sent: bool = False
    key_not_accepted: ClassVar[bool] = True


@dataclass(eq=False)
class ApiProblem(Exception):
    """payments-api rejected the request: an RFC 9457 problem."""

    status: int
    code: str
    title: str
    detail: str
    fields: dict[str, str] = field(default_factory=dict)  # camelCase field -> what is wrong


class ApiTransport(httpx2.AsyncHTTPTransport):
    """The network; a connection that is lost while it is opened is an error like any other."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request. Raises httpx2.HTTPError."""
        try:
            return await super().handle_async_request(request)
        except AttributeError as error:
            # The library asks a connection for its address, and one that is closed has no socket.
            raise httpx2.ConnectError("closed while connecting", request=request) from error


class ApiClient:
    """Calls payments-api. Every method raises ApiUnavailable or ApiProblem."""

    def __init__(
        self, settings: ApiClientSettings, transport: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        """Create a client; `transport` replaces the network in unit tests."""
        limits = httpx2.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=16)
        timeout = httpx2.Timeout(
            settings.api_timeout_seconds,
            connect=min(CONNECT_TIMEOUT_SECONDS, settings.api_timeout_seconds),
            pool=POOL_TIMEOUT_SECONDS,
        )
        headers = {"Accept": "application/json", "User-Agent": "payments-ui"}
        if settings.api_key is not None:
            # Sent with every request and with the event stream's; httpx2 does not log headers.
            headers["Authorization"] = f"Bearer {settings.api_key.get_secret_value()}"
        self.http = httpx2.AsyncClient(
            base_url=settings.api_url,
            timeout=timeout,
            headers=headers,
            transport=transport or ApiTransport(verify=_authorities(settings), limits=limits),
            trust_env=False,
        )

    async def close(self) -> None:
        """Close the pooled connections."""
        await self.http.aclose()

    async def create_payment(
        self, order: Mapping[str, Any], idempotency_key: str, operator: str | None = None
    ) -> tuple[api.CreatedPayment, bool]:
        """Create a payment, once per key. Returns it, and whether it already existed."""
        headers = {"Idempotency-Key": idempotency_key, **_operator(operator)}
        response = await self._send("POST", "/payments", body=order, headers=headers)
        replayed = response.headers.get("Idempotency-Replayed", "").lower() == "true"
        return cast("api.CreatedPayment", _json(response)), replayed

    async def payments(self, params: Params) -> api.PaymentPage:
        """Return a page of payments; `params` are the API's filters, order and paging."""
        return cast("api.PaymentPage", await self._get("/payments", params))

    async def payment_totals(self, params: Params) -> api.PaymentTotals:
        """Return the number and sum of the payments that match the API's filters."""
        return cast("api.PaymentTotals", await self._get("/payments/totals", params))

    async def payment(self, payment_id: str) -> api.PaymentDetail:
        """Return a payment with its job, reconciliation and ledger entries."""
        return cast("api.PaymentDetail", await self._get(f"/payments/{segment(payment_id)}"))

    async def reverse(
        self,
        payment_id: str,
        body: Mapping[str, str],
        idempotency_key: str,
        operator: str | None = None,
    ) -> api.CreatedReversal:
        """Reverse a payment, once per key."""
        path = f"/payments/{segment(payment_id)}/reversals"
        headers = {"Idempotency-Key": idempotency_key, **_operator(operator)}
        response = await self._send("POST", path, body=body, headers=headers)
        return cast("api.CreatedReversal", _json(response))

    async def reversals(self, payment_id: str, params: Params) -> api.ReversalPage:
        """Return a page of a payment's reversals, newest first."""
        path = f"/payments/{segment(payment_id)}/reversals"
        return cast("api.ReversalPage", await self._get(path, params))

    async def accounts(self, params: Params) -> api.AccountPage:
        """Return a page of accounts by name; `params` are prefix, order and paging."""
        return cast("api.AccountPage", await self._get("/accounts", params))

    async def account_totals(self, prefix: str) -> api.AccountTotals:
        """Return the number of accounts with the prefix, and the sum of their balances."""
        return cast("api.AccountTotals", await self._get("/accounts/totals", {"prefix": prefix}))

    async def currencies(self, account_id: str) -> list[str]:
        """Return the currencies of an account's postings."""
        answer = await self._get(f"/accounts/{segment(account_id)}/currencies")
        return cast("list[str]", answer["currencies"])

    async def balance(self, account_id: str, currency: str) -> api.Balance:
        """Return the account's current balance."""
        path = f"/accounts/{segment(account_id)}/balance"
        return cast("api.Balance", await self._get(path, {"currency": currency}))

    async def balance_history(self, account_id: str, params: Params) -> api.BalanceHistory:
        """Return the account's balance over time, by a bounded number of its entries."""
        path = f"/accounts/{segment(account_id)}/balance-history"
        return cast("api.BalanceHistory", await self._get(path, params))

    async def entries(self, account_id: str, params: Params) -> api.Statement:
        """Return a page of the account's statement, newest first."""
        path = f"/accounts/{segment(account_id)}/entries"
        return cast("api.Statement", await self._get(path, params))

    async def queue_stats(self) -> api.QueueStats:
        """Return the depth of the queue."""
        return cast("api.QueueStats", await self._get("/jobs/stats"))

    async def throughput(self, minutes: int, bucket_seconds: int) -> api.Throughput:
        """Return the payments settled in the last minutes, by bucket."""
        params = {"minutes": minutes, "bucketSeconds": bucket_seconds}
        return cast("api.Throughput", await self._get("/throughput", params))

    async def workers(self) -> list[api.Worker]:
        """Return the workers and their leases."""
        return cast("list[api.Worker]", (await self._get("/workers"))["workers"])

    async def audit(self) -> api.Audit:
        """Return the auditor's latest finding on each invariant."""
        return cast("api.Audit", await self._get("/audit"))

    async def seal(self) -> api.Seal:
        """Return the head of the chain of seals, and how far sealing is behind."""
        return cast("api.Seal", await self._get("/seal"))

    async def dead_letter_groups(self) -> api.DeadLetterGroups:
        """Return the dead letters by error, the latest failure first."""
        return cast("api.DeadLetterGroups", await self._get("/jobs/groups"))

    async def jobs(self, params: Params) -> api.JobPage:
        """Return a page of jobs, newest first."""
        return cast("api.JobPage", await self._get("/jobs", params))

    async def job(self, job_id: str) -> api.Job:
        """Return a job."""
        return cast("api.Job", await self._get(f"/jobs/{segment(job_id)}"))

    async def actions(self, params: Params) -> api.OperatorRecordPage:
        """Return a page of operator actions, newest first."""
        return cast("api.OperatorRecordPage", await self._get("/operator-actions", params))

    async def settle_dead_letter(
        self, job_id: str, action: str, body: Mapping[str, str], operator: str | None = None
    ) -> api.Job:
        """Replay or discard a dead letter, recorded under the operator's name."""
        path = f"/jobs/{segment(job_id)}/{segment(action)}"
        response = await self._send("POST", path, body=body, headers=_operator(operator))
        return cast("api.Job", _json(response))

    async def settle_dead_letters(
        self, action: str, body: Mapping[str, Any], operator: str | None = None
    ) -> "api.Replayed | api.Discarded":
        """Replay or discard the dead letters that match; with dryRun, only count them."""
        path = f"/jobs/{segment(action)}"
        response = await self._send("POST", path, body=body, headers=_operator(operator))
        return cast("api.Replayed", _json(response))

    async def document(self, path: str) -> str:
        """Return one of the API's public documents, such as its OpenAPI document."""
        return (await self._send("GET", path)).text

    async def act(
        self,
        path: str,
        body: Mapping[str, Any],
        operator: str | None = None,
        method: str = "POST",
    ) -> dict[str, Any]:
        """Send what an operator does, recorded under the operator's name."""
        return _json(await self._send(method, path, body=body, headers=_operator(operator)))

    async def delete(self, path: str, operator: str | None = None) -> None:
        """Delete what the path names, recorded under the operator's name."""
        await self._send("DELETE", path, headers=_operator(operator))

    async def send_file(
        self,
        path: str,
        params: Params,
        content: AsyncIterable[bytes],
        operator: str | None = None,
    ) -> dict[str, Any]:
        """Send a file as it arrives; a slow sender may pause for a while."""
        sent = await self._send(
            "POST",
            path,
            params=params,
            content=content,
            headers=_operator(operator),
            patience=httpx2.Timeout(FILE_SECONDS_MAX, connect=CONNECT_TIMEOUT_SECONDS),
        )
        return _json(sent)

    async def get(self, path: str, params: Params | None = None) -> dict[str, Any]:
        """Return the JSON at the path; `segment` makes the parts of a path."""
        return await self._get(path, params)

    async def text(self, path: str, params: Params | None = None) -> str:
        """Return the text at the path, such as CSV."""
        return (await self._send("GET", path, params=_given(params))).text

    async def _get(self, path: str, params: Params | None = None) -> dict[str, Any]:
        return _json(await self._send("GET", path, params=_given(params)))

    async def _send(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        content: AsyncIterable[bytes] | None = None,
        patience: httpx2.Timeout | None = None,
    ) -> httpx2.Response:
        started = monotonic()
        outcome = "unavailable"
        try:
            with calling(method, str(self.http.base_url), path) as call:
                response = await self.http.request(
                    method,
                    path,
                    params=params,
                    json=body,
                    content=content,
                    headers=call.headers(headers),
                    timeout=patience or self.http.timeout,
                )
                call.answered(response.status_code)
            outcome = f"{response.status_code // 100}xx"
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise ApiUnavailable("cannot be reached", sent=False) from error
        except httpx2.PoolTimeout as error:
            raise ApiUnavailable("is overloaded", sent=False) from error
        except httpx2.TimeoutException as error:
            raise ApiUnavailable("did not answer in time") from error
        except httpx2.HTTPError as error:
            raise ApiUnavailable("closed the connection without a complete answer") from error
        finally:
            API_SECONDS.labels(method, outcome).observe(monotonic() - started)
        if response.is_error:
            _raise_problem(response)
        return response


api_client = PerApp[ApiClient]("api_client")


def _authorities(settings: ApiClientSettings) -> ssl.SSLContext | bool:
    """Return the certificate authorities for an https:// API; True means the public ones."""
    if settings.api_ca_file is None:
        return True
    return ssl.create_default_context(cafile=settings.api_ca_file)


def _operator(name: str | None) -> dict[str, str]:
    """Return the header that names the signed-in operator behind the page's key."""
    return {"Payments-Operator": quote(name, safe="")} if name else {}


def _given(params: Params | None) -> dict[str, str | int]:
    """Return the parameters that have a value."""
    return {
        name: value for name, value in (params or {}).items() if value is not None and value != ""
    }


def segment(text: str) -> str:
    """Escape the text as one segment of a path."""
    return quote(text, safe="")


def _json(response: httpx2.Response) -> dict[str, Any]:
    try:
        answer = response.json()
    except ValueError as error:
        raise ApiUnavailable("sent an answer that is not JSON") from error
    if not isinstance(answer, dict):
        raise ApiUnavailable("sent an answer that is not a JSON object")
    return answer


def _raise_problem(response: httpx2.Response) -> NoReturn:
    """Raise ApiUnavailable for 5xx, KeyNotAccepted for 401 and 403, else ApiProblem."""
    try:
        answer = response.json()
    except ValueError:
        answer = {}
    problem = answer if isinstance(answer, dict) else {}
    if response.status_code >= 500:
        raise ApiUnavailable(
            {503: "is overloaded or has no database at the moment"}.get(
                response.status_code, f"answered with an error ({response.status_code})"
            )
        )
    if response.status_code in (401, 403):
        code = str(problem.get("code", "unknown"))
        log.error("page_key_rejected", extra={"status": response.status_code, "code": code})
        raise KeyNotAccepted
    listed = problem.get("errors")
    fields = {
        str(each.get("field", "")): str(each.get("detail", ""))
        for each in (listed if isinstance(listed, list) else [])
        if isinstance(each, dict)
    }
    raise ApiProblem(
        status=response.status_code,
        code=str(problem.get("code", "unknown")),
        title=str(problem.get("title", "The request was rejected")),
        detail=str(problem.get("detail") or problem.get("title") or "The request was rejected"),
        fields=fields,
    )
