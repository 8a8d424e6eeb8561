"""The schema's functions resolve names in the schema, for any search path of the session."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from testkit.database.sql import Sql

LOGIN_ROLES = ("payments_api", "payments_worker", "payments_readonly")
SAFE_PATH = "search_path=pg_catalog, public, pg_temp"
# SECURITY DEFINER grants the owner's rights to callers: the owner must be a role with few rights.
DEFINERS = {"payments_observer"}

FUNCTIONS = """
SELECT oid::regprocedure::text AS name, coalesce(proconfig, '{}') AS settings,
       prosecdef AS definer, pg_get_userbyid(proowner) AS owner
FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1"""

SHADOWED_VIEW = """
CREATE FUNCTION pg_temp.taken() RETURNS timestamptz LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE 'ALTER ROLE ' || session_user || ' SUPERUSER';
    RETURN now();
END $$;
CREATE TEMP VIEW pg_stat_activity AS
SELECT current_database() AS datname, 0 AS pid, 'client backend' AS backend_type,
       pg_temp.taken() AS xact_start;
GRANT SELECT ON pg_stat_activity TO PUBLIC;
SELECT public.oldest_transaction_age_seconds()"""

NO_PAYMENT = "00000000-0000-0000-0000-0000000000ff"
SHADOWED_PAYMENTS = f"""
CREATE TEMP TABLE payments (id uuid, status text, account_id text, currency text, amount numeric);
INSERT INTO pg_temp.payments VALUES ('{NO_PAYMENT}', 'completed', 'acc_1', 'USD', 1)"""
STRAY_POSTING = f"""
INSERT INTO ledger_entries (payment_id, account_id, currency, entry_type, direction, amount,
                            account_seq, balance_after) VALUES
    ('{NO_PAYMENT}', 'acc_1', 'USD', 'payment', 'credit', 1, 1, 1),
    ('{NO_PAYMENT}', 'sys:clearing:00', 'USD', 'clearing', 'debit', 1, 1, -1)"""
STRAY_RESULT = f"""
INSERT INTO reconciliation_results (payment_id, recon_job_id, status, matched, notes, rule_version)
VALUES ('{NO_PAYMENT}', 1, 'completed', true, '', 1)"""


async def _complaints(sql: Sql) -> list[str]:
    """Return one line for each unsafe function of the schema."""
    found = []
    for row in await sql.fetch(FUNCTIONS):
        if SAFE_PATH not in row["settings"]:
            found.append(f"{row['name']} does not set {SAFE_PATH}")
        if row["definer"] and row["owner"] not in DEFINERS:
            found.append(f"{row['name']} runs with the rights of {row['owner']}")
    return found


async def test_every_function_searches_temporary_objects_last(sql: Sql) -> None:
    assert len(await sql.fetch(FUNCTIONS)) >= 4
    assert await _complaints(sql) == []


async def test_an_unsafe_new_function_is_found(sql: Sql) -> None:
    transaction = sql.transaction()
    await transaction.start()
    await sql.execute("CREATE FUNCTION careless() RETURNS int SECURITY DEFINER RETURN 1")
    assert await _complaints(sql) == [
        f"careless() does not set {SAFE_PATH}",
        "careless() runs with the rights of postgres",
    ]
    await transaction.rollback()


async def test_the_observer_can_read_statistics_and_nothing_else(sql: Sql) -> None:
    role = await sql.fetchrow(
        "SELECT rolcanlogin OR rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication"
        " OR rolbypassrls AS powerful,"
        " ARRAY(SELECT roleid::regrole::text FROM pg_auth_members WHERE member = r.oid) AS member,"
        " ARRAY(SELECT member::regrole::text FROM pg_auth_members WHERE roleid = r.oid) AS members"
        " FROM pg_roles AS r WHERE rolname = 'payments_observer'"
    )
    assert role is not None
    assert dict(role) == {"powerful": False, "member": ["pg_read_all_stats"], "members": []}
    granted = await sql.fetch(
        "SELECT oid::regclass FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        " AND relkind = 'r' AND has_any_column_privilege('payments_observer', oid, 'SELECT')"
    )
    assert granted == []


@pytest.fixture(params=LOGIN_ROLES)
async def role(request: pytest.FixtureRequest, database_url: str) -> AsyncIterator[Sql]:
    """Return a connection of each role that can log in."""
    connection = await asyncpg.connect(database_url.replace("postgres@", f"{request.param}@"))
    await connection.execute("SET default_transaction_read_only = off")  # As an attacker would.
    yield connection
    await connection.close()


@pytest.fixture
async def temporary_allowed(sql: Sql) -> AsyncIterator[None]:
    """Let all roles create temporary objects, as PostgreSQL does by default."""
    await sql.execute("GRANT TEMPORARY ON DATABASE payments TO PUBLIC")
    yield
    await sql.execute("REVOKE TEMPORARY ON DATABASE payments FROM PUBLIC")


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TEMP TABLE payments (id int)",
        "CREATE TEMP VIEW pg_stat_activity AS SELECT 1",
        "CREATE FUNCTION pg_temp.f() RETURNS int RETURN 1",
        "CREATE FUNCTION public.f() RETURNS int RETURN 1",
        "CREATE SCHEMA mine",
    ],
)
async def test_no_role_can_create_an_object(role: Sql, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await role.execute(statement)


@pytest.mark.usefixtures("temporary_allowed")
async def test_a_view_that_shadows_the_statistics_is_not_read(role: Sql, sql: Sql) -> None:
    try:
        await role.execute(SHADOWED_VIEW)
        taken = "SELECT rolname FROM pg_roles WHERE rolsuper AND rolname LIKE 'payments%'"
        assert await sql.fetch(taken) == []
    finally:
        for name in LOGIN_ROLES:
            await sql.execute(f"ALTER ROLE {name} NOSUPERUSER")


@pytest.mark.usefixtures("temporary_allowed")
@pytest.mark.parametrize("stray", [STRAY_POSTING, STRAY_RESULT], ids=["posting", "result"])
async def test_a_table_that_shadows_payments_does_not_deceive_the_guards(
    worker_url_of_database: str, stray: str
) -> None:
    worker = await asyncpg.connect(worker_url_of_database)
    try:
        await worker.execute(SHADOWED_PAYMENTS)
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await worker.execute(stray)
    finally:
        await worker.close()


@pytest.mark.usefixtures("temporary_allowed")
async def test_a_table_that_shadows_posted_rows_does_not_deceive_the_guard(
    worker_url_of_database: str,
) -> None:
    worker = await asyncpg.connect(worker_url_of_database)
    try:
        await worker.execute("CREATE TEMP TABLE posted AS SELECT * FROM ledger_entries WHERE false")
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await worker.execute(STRAY_POSTING)
    finally:
        await worker.close()
