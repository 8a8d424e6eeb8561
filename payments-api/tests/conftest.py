"""The API over a real socket, in addition to the root's fixtures."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from quart import Quart

from payments_api.app import create_app, serve_options
from payments_api.settings import ApiSettings
from payments_core.server.options import Lifecycle
from payments_core.server.run import serve
from payments_local.ports import free_port
from testkit.network.tcp_proxy import TcpProxy

ANSWER_SECONDS_MAX = 15.0
# By default httpx loads all trusted certificates for each client, though these speak plain HTTP.
NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@dataclass(frozen=True, slots=True)
class Served:
    """An API that listens on a real port."""

    app: Quart
    port: int
    lifecycle: Lifecycle
    ended: "asyncio.Task[None]"

    @property
    def url(self) -> str:
        """Return its address."""
        return f"http://127.0.0.1:{self.port}"

    async def send_raw(self, request: bytes, *, then_eof: bool = False) -> "RawAnswer":
        """Send the bytes on a new connection; return the first answer, or one with status 0."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            if then_eof:
                writer.write_eof()
            return await asyncio.wait_for(_read_answer(reader), ANSWER_SECONDS_MAX)
        finally:
            writer.close()


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """An unparsed answer; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body's JSON."""
        return json.loads(self.body)


async def _read_answer(reader: asyncio.StreamReader) -> RawAnswer:
    status_line = (await reader.readline()).decode()
    if not status_line:
        return RawAnswer(0, {}, b"")
    headers = {}
    while line := (await reader.readline()).strip():
        name, _, value = line.decode("latin1").partition(":")
        headers[name.lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return RawAnswer(int(status_line.split()[1]), headers, body)


@pytest.fixture
def database_proxy(database_url: str) -> Iterator[TcpProxy]:
    """A proxy in front of Postgres, which a test can cut or stall."""
    port = urlsplit(database_url).port
    assert port is not None
    proxy = TcpProxy(port)
    yield proxy
    proxy.close()


@pytest.fixture
def proxied_url(database_url: str, database_proxy: TcpProxy) -> str:
    """The database's URL through the proxy, as the API's role."""
    path = urlsplit(database_url).path
    return f"postgresql://payments_api@127.0.0.1:{database_proxy.port}{path}"


ServeApi = Callable[..., Awaitable[Served]]


@pytest.fixture
async def serve_api(api_url_of_database: str) -> AsyncIterator[ServeApi]:
    """Return a function that serves an API: `await serve_api(pool_size=4)` returns once it answers.

    Its keywords are fields of ApiSettings. All APIs are stopped at the test's end.
    """
    started: list[Served] = []

    async def start(**options: object) -> Served:
        values = {
            "DATABASE_URL": api_url_of_database,
            "auth": "off",
            "drain_seconds": 2.0,
            **options,
        }
        settings = ApiSettings.model_validate(values)
        lifecycle, port = Lifecycle(), free_port()
        app = create_app(settings, lifecycle)
        listen = replace(serve_options(settings), host="127.0.0.1", port=port)
        served = Served(app, port, lifecycle, asyncio.create_task(serve(app, listen, lifecycle)))
        started.append(served)
        async with httpx.AsyncClient(base_url=served.url, verify=NO_CERTIFICATES) as http:
            while not served.ended.done():
                try:
                    await http.get("/livez")
                    break
                except httpx.ConnectError:
                    await asyncio.sleep(0.02)
        return served

    yield start
    for served in started:
        served.lifecycle.stopping.set()
        await asyncio.wait_for(served.ended, 20)


@pytest.fixture
async def served(serve_api: ServeApi) -> Served:
    """Run the API over HTTP with its default settings."""
    return await serve_api()


@pytest.fixture
async def kept(api_url_of_database: str) -> AsyncIterator[Quart]:
    """Run the API with keys required."""
    app = create_app(
        ApiSettings.model_validate(
            {"DATABASE_URL": api_url_of_database, "latency_target_seconds": 10}
        )
    )
    async with app.test_app():
        yield app
