"""DATABASE_URL as libpq reads it: each part is applied, or rejected by name."""

import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError

from payments_core.config import read_settings
from payments_core.db.engine import connect, create_engine, single_statement
from payments_core.db.settings import DatabaseSettings
from payments_core.db.url import checked_url, dsn_with_password, read_url
from payments_local.postgres import EmbeddedPostgres, running_postgres

# Contains characters with a meaning in URLs and shells, and some outside ASCII.
ODD = "o/d?d #:@%41[]&=+é'"
PASSWORD = "p:/?#[]@%41 +&='é"


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, "postgresql://postgres@localhost:5432/payments"),
        ({"PG_PORT": "4432"}, "postgresql://postgres@localhost:4432/payments"),
        ({"PG_PORT": ""}, "postgresql://postgres@localhost:5432/payments"),
        ({"PG_PORT": "4432", "DATABASE_URL": "postgresql://x@db/y"}, "postgresql://x@db/y"),
    ],
)
def test_pg_port_is_the_port_of_the_default_database(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], url: str
) -> None:
    for name in ("PG_PORT", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert read_settings(DatabaseSettings).database_url == url


def test_a_wrong_pg_port_is_rejected_by_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("PG_PORT", "postgres")
    with pytest.raises(SystemExit) as ended:
        read_settings(DatabaseSettings)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("PG_PORT: ")


@pytest.mark.parametrize(
    "query", ["", "?sslmode=disable", "?sslmode=prefer", "?channel_binding=prefer&keepalives=1"]
)
async def test_the_url_may_state_the_defaults(database_url: str, query: str) -> None:
    engine = create_engine(database_url + query, application_name="url", pool_size=1)
    async with single_statement(engine) as connection:
        name = (await connection.exec_driver_sql("SHOW application_name")).scalar()
    await engine.dispose()
    assert name == "url"


async def test_a_url_that_requires_tls_rejects_a_server_without_it(
    database_url: str,
) -> None:
    engine = create_engine(f"{database_url}?sslmode=require", application_name="url", pool_size=1)
    with pytest.raises((ConnectionError, asyncpg.InterfaceError)):
        async with single_statement(engine):
            pass
    await engine.dispose()


async def test_timeouts_keepalives_and_options_come_from_the_url(database_url: str) -> None:
    url = (
        f"{database_url}?connect_timeout=7&keepalives_idle=33&keepalives_interval=4"
        "&keepalives_count=5&tcp_user_timeout=9000&options=-c%20work_mem%3D7MB"
        "&target_session_attrs=read-write"
    )
    assert read_url(url).timeout_seconds == 7
    connection = await connect(url)
    try:
        assert await connection.fetchval("SHOW work_mem") == "7MB"
        opened = connection._transport.get_extra_info("socket")  # type: ignore[attr-defined]  # asyncpg has no public attribute.
        for name, value in (
            ("TCP_KEEPIDLE", 33),
            ("TCP_KEEPINTVL", 4),
            ("TCP_KEEPCNT", 5),
            ("TCP_USER_TIMEOUT", 9000),
        ):
            assert opened.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) == value
    finally:
        await connection.close()


@pytest.fixture(scope="module")
def odd_server() -> Iterator[EmbeddedPostgres]:
    """Run a server that requires passwords and has a Unix socket."""
    with running_postgres(settings={"unix_socket_directories": "."}) as server:
        rules = server.pgdata / "pg_hba.conf"
        rules.write_text(
            f'host all "{ODD}" all scram-sha-256\nlocal all all trust\n{rules.read_text()}'
        )
        server.stop()
        server.start()
        yield server


@pytest.fixture
async def odd_role(odd_server: EmbeddedPostgres) -> AsyncIterator[None]:
    """Create a role and a database whose names and password contain every escaped character."""
    sql = await asyncpg.connect(odd_server.url)
    name = '"' + ODD + '"'
    await sql.execute(
        f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD.replace(chr(39), chr(39) * 2)}'"
    )
    await sql.execute(f"CREATE DATABASE {name} OWNER {name}")
    yield
    await sql.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await sql.execute(f"DROP ROLE {name}")
    await sql.close()


async def _session(url: str) -> tuple[Any, ...]:
    engine = create_engine(checked_url(url), application_name="url", pool_size=1)
    async with single_statement(engine) as connection:
        row = (
            await connection.exec_driver_sql("SELECT current_user::text, current_database()::text")
        ).one()
    await engine.dispose()
    return tuple(row)


@pytest.mark.usefixtures("odd_role")
async def test_percent_encoded_names_and_passwords_work(
    odd_server: EmbeddedPostgres, tmp_path: Path
) -> None:
    name, password = quote(ODD, safe=""), quote(PASSWORD, safe="")
    at = f"127.0.0.1:{odd_server.port}/{name}"
    assert await _session(f"postgresql://{name}:{password}@{at}") == (ODD, ODD)
    assert await _session(f"postgres://{name}:{password}@{at}") == (ODD, ODD)
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    assert await _session(dsn_with_password(f"postgresql://{name}@{at}", file)) == (ODD, ODD)
    assert await _session(dsn_with_password(f"postgresql://{name}:wrong@{at}", file)) == (ODD, ODD)
    with pytest.raises(DBAPIError, match="password authentication failed"):
        await _session(f"postgresql://{name}:wrong@{at}")


@pytest.mark.parametrize(
    "form",
    [
        "postgresql://postgres@{encoded}:{port}/payments",
        "postgresql://postgres@/payments?host={folder}&port={port}",
        "postgresql:///payments?host={encoded}&port={port}&user=postgres",
        "postgresql:///?host={encoded}&port={port}&user=postgres&dbname=payments",
    ],
)
async def test_a_socket_is_accepted_wherever_libpq_accepts_it(
    odd_server: EmbeddedPostgres, form: str
) -> None:
    folder = str(odd_server.pgdata)
    url = form.format(folder=folder, encoded=quote(folder, safe=""), port=odd_server.port)
    assert await _session(url) == ("postgres", "payments")
    assert read_url(url).where == f"{folder}:{odd_server.port}"


AT = "postgresql://u:hidden@h/d"
REFUSED = [
    # url, what the message must name
    (f"{AT}?application_name=x", "application_name"),
    (f"{AT}?connect_timeout=0", "connect_timeout"),
    (f"{AT}?connect_timeout=ten", "connect_timeout"),
    (f"{AT}?connect_timeout=61", "connect_timeout"),
    (f"{AT}?keepalives=0", "keepalives"),
    (f"{AT}?keepalives_idle=-1", "keepalives_idle"),
    (f"{AT}?channel_binding=require", "channel_binding"),
    (f"{AT}?gssencmode=require", "gssencmode"),
    (f"{AT}?target_session_attrs=standby", "target_session_attrs"),
    (f"{AT}?target_session_attrs=prefer-standby", "target_session_attrs"),
    (f"{AT}?client_encoding=latin1", "client_encoding"),
    (f"{AT}?search_path=x", "search_path"),
    (f"{AT}?pgbouncer=true", "pgbouncer"),
    (f"{AT}?options=", "options"),
    (f"{AT}?sslmode", "?name=value"),
    ("postgresql://u:hidden@one,two/d", "one host"),
    ("postgresql://u:hidden@one:1,two:2/d", "one host"),
    ("postgresql://u:hidden@one%2Ctwo/d", "one host"),
    ("postgresql://u:hidden@/d?host=one,two", "one host"),
    ("postgresql://u:hidden@/d?host=one&port=1,2", "one host"),
    ("postgresql://u:hidden@h:0/d", "port"),
    ("postgresql://u:hidden@h:65536/d", "port"),
    ("postgresql://u:hid@den@h/d", "%40"),
    ("postgresql://u:hid/den@h/d", "%2F"),
    ("postgresql://u:hidden@h/d/e", "postgresql://"),
    ("postgresql://u:hidden@h/d#e", "postgresql://"),
    ("postgresql://u:hidden@[::1/d", "postgresql://"),
    ("mysql://u:hidden@h/d", "postgresql://"),
    (" postgresql://u:hidden@h/d", "postgresql://"),
]


@pytest.mark.parametrize(("url", "named"), REFUSED, ids=[url for url, _ in REFUSED])
def test_an_unusable_url_is_rejected_by_name_without_its_secret(url: str, named: str) -> None:
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 - the assertions check its text
        checked_url(url)
    said = str(refusal.value)
    assert named in said
    assert "hid" not in said
    assert "\n" not in said
