"""Each privilege of each role on each object is listed here: a new object without one fails."""

import pytest

from testkit.database.sql import Sql

from .decided_privileges import API, BACKUP, DECIDED, READONLY, WORKER, Rights

# Rights on relations and on their columns, without the owner's.
RELATIONS = """
SELECT relname, grantee, privilege_type, ARRAY['*'] AS columns
FROM pg_class, LATERAL aclexplode(relacl) AS acl
WHERE relnamespace = 'public'::regnamespace AND grantee <> relowner
UNION ALL
SELECT relname, grantee, privilege_type, array_agg(attname::text ORDER BY attname)
FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid, LATERAL aclexplode(attacl) AS acl
WHERE relnamespace = 'public'::regnamespace AND grantee <> relowner
GROUP BY relname, grantee, privilege_type"""
RIGHTS = f"""
SELECT relname::text, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(grantee) END AS role,
       privilege_type, columns
FROM ({RELATIONS}) AS rights"""
OBJECTS = """
SELECT relname::text FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')"""


async def _found(sql: Sql) -> dict[str, Rights]:
    """Return the rights in the catalog, with an empty entry for an object without rights."""
    found: dict[str, Rights] = {row["relname"]: {} for row in await sql.fetch(OBJECTS)}
    for row in await sql.fetch(RIGHTS):
        rights = found[row["relname"]].setdefault(row["role"], {})
        if rights.get(row["privilege_type"]) != "*":  # A right on the table includes every column.
            rights[row["privilege_type"]] = " ".join(row["columns"])
    return found


def _with_backup(rights: Rights) -> Rights:
    """Add the backup's role, which reads every relation for a dump and may do little else."""
    return rights | {BACKUP: {"SELECT": "*", **rights.get(BACKUP, {})}}


async def test_each_privilege_on_each_object_is_listed(sql: Sql) -> None:
    assert await _found(sql) == {name: _with_backup(rights) for name, rights in DECIDED.items()}


async def test_an_unlisted_object_is_found(sql: Sql) -> None:
    transaction = sql.transaction()
    await transaction.start()
    await sql.execute("CREATE TABLE refunds (id int); GRANT INSERT (id) ON refunds TO PUBLIC")
    assert (await _found(sql))["refunds"] == {"PUBLIC": {"INSERT": "id"}}
    await transaction.rollback()


async def test_each_other_privilege_is_listed(sql: Sql) -> None:
    rights = await sql.fetch(
        """
        SELECT kind, name, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(grantee) END,
               privilege_type
        FROM (
            SELECT 'schema' AS kind, nspname::text AS name, nspacl AS acl, nspowner AS owner
            FROM pg_namespace WHERE nspname = 'public'
            UNION ALL
            SELECT 'database', 'this', datacl, datdba FROM pg_database
            WHERE datname = current_database()
            UNION ALL
            SELECT 'function', proname::text, coalesce(proacl, acldefault('f', proowner)), proowner
            FROM pg_proc
            WHERE pronamespace = 'public'::regnamespace AND prorettype <> 'trigger'::regtype
        ) AS object, LATERAL aclexplode(acl) AS granted
        WHERE grantee <> owner"""
    )
    services = (API, WORKER, READONLY)
    assert {tuple(row) for row in rights} == {
        ("database", "this", "PUBLIC", "CONNECT"),
        ("schema", "public", "PUBLIC", "USAGE"),
        ("schema", "public", "payments_owner", "USAGE"),
        *(("schema", "public", role, "USAGE") for role in services),
        *(("function", "oldest_transaction_age_seconds", role, "EXECUTE") for role in services),
    }


@pytest.mark.parametrize("role", [API, WORKER, READONLY, BACKUP, "payments_owner"])
async def test_no_role_is_a_member_of_another(sql: Sql, role: str) -> None:
    member_of = await sql.fetch(
        "SELECT roleid::regrole::text FROM pg_auth_members WHERE member = $1::regrole", role
    )
    assert member_of == []
