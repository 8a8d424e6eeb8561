"""Postgres over TLS: a connection that meets the settings, or a clear error."""

import asyncio
import logging
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import make_url

from payments_core.db.engine import connect, create_engine, single_statement
from payments_core.db.listen import listen
from payments_core.db.tls import DatabaseTlsError, checked_tls, tls_mode, warn_without_tls
from payments_core.db.url import TCP_OPTIONS
from testkit.network.certificates import Authority, Signed, server_context
from testkit.network.tls_front import tls_front


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return the authority of valid certificates."""
    return Authority(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture(scope="module")
def good(authority: Authority) -> Signed:
    """Return a valid certificate of the database."""
    return authority.sign("database", "DNS:localhost", "IP:127.0.0.1")


def _url(database_url: str, port: int, **query: object) -> str:
    url = make_url(database_url).set(port=port)
    return url.update_query_dict({k: str(v) for k, v in query.items()}).render_as_string(False)


async def test_a_verified_connection_serves_statements_and_notices(
    database_url: str, authority: Authority, good: Signed
) -> None:
    async with tls_front(database_url, server_context(good)) as port:
        url = _url(database_url, port, sslmode="verify-full", sslrootcert=authority.certificate)
        engine = create_engine(url, application_name="tls", pool_size=1)
        async with single_statement(engine) as connection:
            assert (await connection.exec_driver_sql("SELECT 1")).scalar() == 1
            raw: Any = (await connection.get_raw_connection()).driver_connection
            assert raw._transport.get_extra_info("ssl_object").version() == "TLSv1.3"
        heard: asyncio.Queue[str] = asyncio.Queue()
        connected = asyncio.Event()
        listening = asyncio.create_task(listen(url, "tls", heard.put_nowait, connected.set, "tls"))
        await asyncio.wait_for(connected.wait(), 10)
        async with single_statement(engine) as connection:
            await connection.exec_driver_sql("NOTIFY tls, 'heard'")
        assert await asyncio.wait_for(heard.get(), 10) == "heard"
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening
        await engine.dispose()


async def _refusal(url: str) -> str:
    with pytest.raises(DatabaseTlsError) as refused:
        await connect(url, timeout=10)
    message = str(refused.value)
    assert "\n" not in message
    return message


async def test_another_authority_is_rejected(
    database_url: str, good: Signed, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other")
    async with tls_front(database_url, server_context(good)) as port:
        message = await _refusal(
            _url(database_url, port, sslmode="verify-full", sslrootcert=other.certificate)
        )
    assert "unknown authority" in message
    assert "sslrootcert must name" in message
    assert message.startswith(f"127.0.0.1:{port}: ")


async def test_another_hosts_certificate_is_rejected(
    database_url: str, authority: Authority
) -> None:
    elsewhere = authority.sign("elsewhere", "DNS:elsewhere.example", "IP:192.0.2.1")
    async with tls_front(database_url, server_context(elsewhere)) as port:
        trusting = {"sslrootcert": authority.certificate}
        message = await _refusal(_url(database_url, port, sslmode="verify-full", **trusting))
        assert "not for this host" in message
        # verify-ca checks the authority, but not the name.
        await (await connect(_url(database_url, port, sslmode="verify-ca", **trusting))).close()


async def test_an_expired_certificate_is_rejected(database_url: str, authority: Authority) -> None:
    expired = authority.sign("expired", "IP:127.0.0.1", expired=True)
    async with tls_front(database_url, server_context(expired)) as port:
        message = await _refusal(
            _url(database_url, port, sslmode="verify-full", sslrootcert=authority.certificate)
        )
    assert "has expired" in message
    assert "renew it" in message


async def test_a_server_without_tls_is_rejected(database_url: str, authority: Authority) -> None:
    port = make_url(database_url).port
    assert port is not None
    for mode in ("require", "verify-full"):
        message = await _refusal(
            _url(database_url, port, sslmode=mode, sslrootcert=authority.certificate)
        )
        assert "speaks no TLS" in message
        assert "ssl=on" in message


async def test_a_client_sends_its_certificate_on_request(
    database_url: str, authority: Authority, good: Signed
) -> None:
    mine = authority.sign("payments_api")
    trusting = {"sslmode": "verify-full", "sslrootcert": authority.certificate}
    async with tls_front(
        database_url, server_context(good, clients_of=authority.certificate)
    ) as port:
        own = {"sslcert": mine.certificate, "sslkey": mine.key}
        connection = await connect(_url(database_url, port, **trusting, **own))
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()
        with pytest.raises((OSError, asyncpg.PostgresConnectionError)):
            await connect(_url(database_url, port, **trusting), timeout=10)


WRONG = [
    # query, environment, message
    ("sslmode=yes", {}, "sslmode must be one of disable, allow"),
    ("sslmode=verify-full", {"HOME": "/nowhere"}, "sslmode=verify-full needs sslrootcert=FILE"),
    ("sslmode=verify-full&sslrootcert=/nowhere/ca.crt", {}, "sslrootcert names /nowhere/ca.crt"),
    ("sslmode=require&sslcert=/nowhere/my.crt", {}, "sslcert names /nowhere/my.crt, which cannot"),
    ("", {"PGSSLMODE": "require", "PGSSLKEY": "/nowhere/key"}, "sslkey names /nowhere/key"),
]


@pytest.mark.parametrize(("query", "environ", "message"), WRONG)
def test_tls_files_and_modes_are_checked_at_start(
    query: str, environ: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PGSSLMODE", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/nowhere", **environ}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=message):
        checked_tls(f"postgresql://u:hidden@db/d?{query}")


def test_the_mode_comes_from_the_url_the_environment_or_is_prefer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGSSLMODE", "verify-ca")
    assert tls_mode("postgresql://db/d?sslmode=require") == "require"
    assert tls_mode("postgresql://db/d") == "verify-ca"
    monkeypatch.delenv("PGSSLMODE")
    assert tls_mode("postgresql://db/d") == "prefer"


@pytest.fixture
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove this machine's TLS settings."""
    monkeypatch.delenv("PGSSLMODE", raising=False)


@pytest.mark.usefixtures("no_variables")
@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("postgresql://u@localhost/d", False),
        ("postgresql://u@127.0.0.1:5432/d?sslmode=disable", False),
        ("postgresql://u@[::1]/d", False),
        ("postgresql:///d?host=/run/postgresql", False),
        ("postgresql://u:hidden@db.example/d", True),
        ("postgresql://u:hidden@db.example/d?sslmode=require", True),
        ("postgresql://u:hidden@db.example/d?sslmode=verify-full&sslrootcert=/ca", False),
        ("postgresql://localhost:1,db.example:2/d", True),
    ],
)
def test_an_unverified_remote_database_causes_a_warning(
    url: str, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        warn_without_tls(url)
    assert [record.message for record in caplog.records] == ["database_unverified"] * warned
    assert "hidden" not in str([vars(record) for record in caplog.records])


async def test_the_kernel_detects_a_silent_peer(database_url: str) -> None:
    connection: Any = await connect(database_url)
    opened = connection._transport.get_extra_info("socket")
    assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    for name, value in TCP_OPTIONS.items():
        assert opened.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) == value
    await connection.close()
