"""Requests to payments-api: one connection pool, every wait bounded."""

import ssl
from collections.abc import AsyncIterable, Mapping
from time import monotonic
from typing import Any
from urllib.parse import quote

import httpx2

from payments_core.observability.http_client import calling
from payments_ui.api.errors import ApiUnavailable, json_of, raise_problem
from payments_ui.api.settings import ApiClientSettings
from payments_ui.metrics import API_SECONDS

# A host that does not accept a connection in this time counts as down.
CONNECT_TIMEOUT_SECONDS = 2.0
POOL_TIMEOUT_SECONDS = 2.0  # Longest wait of a page for a free connection.
FILE_SECONDS_MAX = 60.0  # Longest pause between two pieces of a file, and until its answer.
CONNECTIONS_MAX = 64  # Concurrent requests of one process to the API.
STREAM_SILENCE_SECONDS_MAX = 18.0  # The API sends a comment every 15 s; a page must not look live.

Params = Mapping[str, str | int | None]


class ApiTransport(httpx2.AsyncHTTPTransport):
    """The network; a connection that is lost while it is opened is an error like any other."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request. Raises httpx2.HTTPError."""
        try:
            return await super().handle_async_request(request)
        except AttributeError as error:
            # The library asks a connection for its address, and one that is closed has no socket.
            raise httpx2.ConnectError("closed while connecting", request=request) from error


class ApiConnection:
    """Sends requests to payments-api. Every method raises ApiUnavailable or ApiProblem."""

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
        return json_of(await self._send(method, path, body=body, headers=operator_header(operator)))

    async def delete(self, path: str, operator: str | None = None) -> None:
        """Delete what the path names, recorded under the operator's name."""
        await self._send("DELETE", path, headers=operator_header(operator))

    async def send_file(
        self,
        path: str,
        params: Params,
        content: AsyncIterable[bytes],
        operator: str | None = None,
    ) -> dict[str, Any]:
        """Send a file as it arrives; a slow sender may pause for a while."""
        response = await self._send(
            "POST",
            path,
            params=params,
            content=content,
            headers=operator_header(operator),
            patience=httpx2.Timeout(FILE_SECONDS_MAX, connect=CONNECT_TIMEOUT_SECONDS),
        )
        return json_of(response)

    async def get(self, path: str, params: Params | None = None) -> dict[str, Any]:
        """Return the JSON at the path; `segment` makes the parts of a path."""
        return json_of(await self._send("GET", path, params=_given(params)))

    async def text(self, path: str, params: Params | None = None) -> str:
        """Return the text at the path, such as CSV."""
        return (await self._send("GET", path, params=_given(params))).text

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
            raise_problem(response)
        return response


def _authorities(settings: ApiClientSettings) -> ssl.SSLContext | bool:
    """Return the certificate authorities for an https:// API; True means the public ones."""
    if settings.api_ca_file is None:
        return True
    return ssl.create_default_context(cafile=settings.api_ca_file)


def operator_header(name: str | None) -> dict[str, str]:
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
