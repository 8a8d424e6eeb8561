"""Each role may run the statements of its service and no others."""

import re
from collections.abc import AsyncIterator

import asyncpg
import pytest

from testkit.database.sql import Sql

API, WORKER, READONLY = "payments_api", "payments_worker", "payments_readonly"
BACKUP = "payments_backup"  # A dump reads every table and sequence.
EVERYBODY = {API, WORKER, READONLY}
# Statements that read a whole table without a lock.
READS = re.compile(r"SELECT [^()]+ FROM \w+ WHERE false")

# A statement that changes nothing, and the roles that may run it.
STATEMENTS: list[tuple[str, set[str]]] = [
    *(
        (f"SELECT * FROM {table} WHERE false", EVERYBODY)
        for table in (
            "payments",
            "recon_jobs",
            "reconciliation_results",
            "accounts",
            "ledger_entries",
            "operator_actions",
            "workers",
            "worker_throughput",
            "audit_progress",
            "audit_findings",
            "ledger_seals",
            "seal_verification",
            "last_backup",
            "ledger_entries_id_seq",
            "alembic_version",
        )
    ),
    (
        "INSERT INTO payments (id, idempotency_key, request_fingerprint, account_id, amount,"
        " currency, description, traceparent, reference, metadata, source) SELECT id,"
        " idempotency_key, request_fingerprint, account_id, amount, currency, description,"
        " traceparent, reference, metadata, source FROM payments WHERE false",
        {API},
    ),
    *(
        (
            f"INSERT INTO payments (id, {column}) SELECT id, {column} FROM payments WHERE false",
            set(),
        )
        for column in ("status", "created_at", "updated_at", "settled_at")
    ),
    ("UPDATE payments SET status = status WHERE false", {API, WORKER}),
    ("UPDATE payments SET settled_at = settled_at WHERE false", {API, WORKER}),
    ("UPDATE payments SET amount = amount WHERE false", set()),
    ("UPDATE payments SET account_id = account_id WHERE false", set()),
    ("UPDATE payments SET idempotency_key = idempotency_key WHERE false", set()),
    ("DELETE FROM payments WHERE false", set()),
    ("TRUNCATE payments CASCADE", set()),
    ("INSERT INTO recon_jobs (payment_id) SELECT id FROM payments WHERE false", {API}),
    *(
        (
            f"INSERT INTO recon_jobs (payment_id, {column}) SELECT payment_id, {column}"
            " FROM recon_jobs WHERE false",
            set(),
        )
        for column in ("status", "priority", "attempts", "max_attempts", "run_at", "created_at")
    ),
    ("UPDATE recon_jobs SET status = status WHERE false", {API, WORKER}),
    ("UPDATE recon_jobs SET lease_token = lease_token WHERE false", {WORKER}),
    *(
        (f"UPDATE recon_jobs SET {column} = {column} WHERE false", set())
        for column in ("payment_id", "priority", "max_attempts", "traceparent", "created_at")
    ),
    ("SELECT * FROM recon_jobs WHERE false FOR UPDATE", {API, WORKER}),
    ("DELETE FROM recon_jobs WHERE false", {WORKER}),
    (
        "INSERT INTO reconciliation_results (payment_id) SELECT id FROM payments WHERE false",
        {API, WORKER},  # The API writes those of payments that an operator discards.
    ),
    (
        "INSERT INTO reconciliation_results (discrepancy_amount) SELECT amount FROM payments"
        " WHERE false",
        {WORKER},
    ),
    (
        "INSERT INTO reconciliation_results (created_at) SELECT created_at FROM payments"
        " WHERE false",
        set(),
    ),
    ("UPDATE reconciliation_results SET notes = notes WHERE false", set()),
    ("DELETE FROM reconciliation_results WHERE false", set()),
    ("INSERT INTO ledger_entries (payment_id) SELECT id FROM payments WHERE false", {WORKER}),
    (
        "INSERT INTO ledger_entries (id) OVERRIDING SYSTEM VALUE SELECT id FROM recon_jobs"
        " WHERE false",
        set(),
    ),
    ("UPDATE ledger_entries SET amount = amount WHERE false", set()),
    ("DELETE FROM ledger_entries WHERE false", set()),
    ("TRUNCATE ledger_entries", set()),
    ("INSERT INTO accounts SELECT * FROM accounts WHERE false", {WORKER}),
    ("UPDATE accounts SET balance = balance WHERE false", {WORKER}),
    ("UPDATE accounts SET account_id = account_id WHERE false", set()),
    ("UPDATE accounts SET created_at = created_at WHERE false", set()),
    ("DELETE FROM accounts WHERE false", set()),
    ("INSERT INTO operator_actions (actor) SELECT id FROM workers WHERE false", {API, WORKER}),
    (
        "INSERT INTO operator_actions (created_at) SELECT created_at FROM payments WHERE false",
        set(),
    ),
    (
        "INSERT INTO operator_actions (id) OVERRIDING SYSTEM VALUE SELECT id FROM recon_jobs"
        " WHERE false",
        set(),
    ),
    ("UPDATE operator_actions SET actor = actor WHERE false", set()),
    ("DELETE FROM operator_actions WHERE false", set()),
    (
        "INSERT INTO workers (id, host, version, completed_total)"
        " SELECT id, host, version, completed_total FROM workers WHERE false",
        {WORKER},
    ),
    ("INSERT INTO workers (started_at) SELECT started_at FROM workers WHERE false", set()),
    ("UPDATE workers SET started_at = started_at WHERE false", set()),
    ("DELETE FROM workers WHERE false", {WORKER}),
    ("DELETE FROM worker_throughput WHERE false", {WORKER}),
    ("UPDATE audit_progress SET only_row = true WHERE false", {WORKER}),
    ("INSERT INTO audit_progress SELECT * FROM audit_progress WHERE false", set()),
    (
        "INSERT INTO audit_findings (checked_at) SELECT checked_at FROM audit_findings WHERE false",
        set(),
    ),
    ("DELETE FROM audit_findings WHERE false", set()),
    ("SELECT * FROM api_keys WHERE false", {API}),
    ("SELECT id, name, last_used_at FROM api_keys WHERE false", {API, READONLY}),
    ("UPDATE api_keys SET last_used_at = now() WHERE false", {API}),
    ("SELECT id FROM api_keys WHERE false FOR UPDATE", {API}),
    ("UPDATE api_keys SET scopes = scopes WHERE false", set()),
    ("UPDATE api_keys SET revoked_at = NULL WHERE false", set()),
    ("UPDATE api_keys SET secret_hash = secret_hash WHERE false", set()),
    ("INSERT INTO api_keys SELECT * FROM api_keys WHERE false", set()),
    ("DELETE FROM api_keys WHERE false", set()),
    ("INSERT INTO ledger_seals SELECT * FROM ledger_seals WHERE false", {WORKER}),
    ("UPDATE ledger_seals SET mac = mac WHERE false", set()),
    ("DELETE FROM ledger_seals WHERE false", set()),
    ("UPDATE seal_verification SET verified_seq = 0 WHERE false", {WORKER}),
    ("DELETE FROM seal_verification WHERE false", set()),
    ("UPDATE last_backup SET taken_at = now() WHERE false", {BACKUP}),
    ("UPDATE last_backup SET only_row = true WHERE false", set()),
    ("DELETE FROM last_backup WHERE false", set()),
    ("SELECT setval('ledger_entries_id_seq', 1)", set()),
    ("UPDATE alembic_version SET version_num = version_num WHERE false", set()),
    ("ALTER TABLE ledger_entries DISABLE TRIGGER ALL", set()),
    ("DROP TRIGGER postings_balance ON ledger_entries", set()),
    ("SET session_replication_role = replica", set()),
    ("DROP TABLE payments CASCADE", set()),
    ("CREATE TABLE mine (id int)", set()),
    ("CREATE ROLE other", set()),
    ("SET ROLE payments_owner", set()),
    ("COPY payments TO PROGRAM 'true'", set()),
    ("SELECT lo_create(0)", set()),
    ("SELECT lo_creat(-1)", set()),
    ("SELECT lo_from_bytea(0, 'x')", set()),
    ("SELECT lo_put(0, 0, 'x')", set()),
    ("SELECT pg_read_file('/etc/passwd')", set()),
]


@pytest.fixture(params=sorted({*EVERYBODY, BACKUP}))
async def role(request: pytest.FixtureRequest, database_url: str) -> AsyncIterator[tuple[str, Sql]]:
    """Return a role's name and a connection as that role."""
    url = database_url.replace("postgres@", f"{request.param}@")
    connection = await asyncpg.connect(url)
    await connection.execute("SET default_transaction_read_only = off")  # As an attacker would.
    yield request.param, connection
    await connection.close()


async def test_each_role_can_run_only_its_own_statements(role: tuple[str, Sql]) -> None:
    name, connection = role
    surprises = []
    for statement, allowed in STATEMENTS:
        may = True
        transaction = connection.transaction()
        await transaction.start()
        try:
            await connection.execute(statement)
        except asyncpg.InsufficientPrivilegeError:
            may = False
        finally:
            await transaction.rollback()
        reads_all = name == BACKUP and READS.fullmatch(statement) is not None
        if may != (name in allowed or reads_all):
            surprises.append(f"{name} {'may' if may else 'may not'}: {statement}")
    assert surprises == []


async def test_the_owner_cannot_log_in(database_url: str) -> None:
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError, match="log in"):
        await asyncpg.connect(database_url.replace("postgres@", "payments_owner@"))


async def test_no_role_has_extra_attributes(sql: Sql) -> None:
    rows = await sql.fetch(
        "SELECT rolname, rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls"
        " FROM pg_roles WHERE rolname LIKE 'payments%'"
    )
    assert dict(map(tuple, rows)) == dict.fromkeys(
        [*EVERYBODY, BACKUP, "payments_owner", "payments_observer"], False
    )


async def test_every_table_belongs_to_the_owner(sql: Sql) -> None:
    rows = await sql.fetch(
        "SELECT tablename, tableowner FROM pg_tables WHERE schemaname = 'public'"
        " AND tablename <> 'alembic_version'"
    )
    assert {row["tableowner"] for row in rows} == {"payments_owner"}


async def test_the_reader_has_time_limits(database_url: str, sql: Sql) -> None:
    reader = await asyncpg.connect(database_url.replace("postgres@", "payments_readonly@"))
    try:
        for name, value in {
            "transaction_read_only": "on",
            "statement_timeout": "1min",
            "idle_in_transaction_session_timeout": "1min",
            "temp_file_limit": "1GB",
        }.items():
            assert await reader.fetchval(f"SHOW {name}") == value, name
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await reader.execute("SET temp_file_limit = -1")
    finally:
        await reader.close()
    limits = "SELECT rolconnlimit FROM pg_roles WHERE rolname = 'payments_readonly'"
    assert await sql.fetchval(limits) == 20
