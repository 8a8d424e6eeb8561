"""Each privilege of each role on each object is listed here: a new object without one fails."""

from typing import Any, TypeAlias

import asyncpg
import pytest

Sql: TypeAlias = "asyncpg.Connection[Any]"

API, WORKER, READONLY = "payments_api", "payments_worker", "payments_readonly"

# Rights on whole relations and on some of their columns. The owner's own are left out.
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

Rights: TypeAlias = dict[str, dict[str, str]]  # Role → privilege → columns, * for all.

READ: Rights = {role: {"SELECT": "*"} for role in (API, WORKER, READONLY)}
ACTION = "action actor job_ids key_name payment_id reason trace_id"
RESULT = "matched notes payment_id recon_job_id rule_version status"
SETTLING = "settled_at status updated_at"

DECIDED: dict[str, Rights] = {
    "payments": {
        API: {
            "SELECT": "*",
            "INSERT": "account_id amount currency description id idempotency_key metadata"
            " reference request_fingerprint source traceparent",
            "UPDATE": SETTLING,  # Of a discarded payment; a trigger refuses all but a failure now.
        },
        WORKER: {"SELECT": "*", "UPDATE": SETTLING},
        READONLY: {"SELECT": "*"},
    },
    "recon_jobs": {
        API: {
            "SELECT": "*",
            "INSERT": "payment_id traceparent",
            "UPDATE": "attempts run_at status updated_at",
        },
        WORKER: {
            "SELECT": "*",
            "UPDATE": "attempts last_error lease_token locked_at locked_by locked_until run_at"
            " status updated_at",
            "DELETE": "*",
        },
        READONLY: {"SELECT": "*"},
    },
    "reconciliation_results": {
        API: {"SELECT": "*", "INSERT": RESULT},
        WORKER: {"SELECT": "*", "INSERT": f"discrepancy_amount {RESULT}"},
        READONLY: {"SELECT": "*"},
    },
    "accounts": {
        API: {"SELECT": "*"},
        WORKER: {"SELECT": "*", "INSERT": "*", "UPDATE": "balance credits debits seq updated_at"},
        READONLY: {"SELECT": "*"},
    },
    "ledger_entries": {
        API: {"SELECT": "*"},
        WORKER: {
            "SELECT": "*",
            "INSERT": "account_id account_seq amount balance_after created_at currency direction"
            " entry_type payment_id",
        },
        READONLY: {"SELECT": "*"},
    },
    "operator_actions": {
        API: {"SELECT": "*", "INSERT": ACTION},
        WORKER: {"SELECT": "*", "INSERT": ACTION},
        READONLY: {"SELECT": "*"},
    },
    "workers": {
        API: {"SELECT": "*"},
        WORKER: {
            "SELECT": "*",
            "INSERT": "completed_total host id version",
            "UPDATE": "completed_total seen_at",
            "DELETE": "*",
        },
        READONLY: {"SELECT": "*"},
    },
    "worker_throughput": {
        API: {"SELECT": "*"},
        WORKER: {
            "SELECT": "*",
            "INSERT": "*",
            "UPDATE": "completed discrepancy failed",
            "DELETE": "*",
        },
        READONLY: {"SELECT": "*"},
    },
    # UPDATE of the whole table is also the right to lock it for an audit.
    "audit_progress": READ | {WORKER: {"SELECT": "*", "UPDATE": "*"}},
    "audit_findings": {
        API: {"SELECT": "*"},
        WORKER: {
            "SELECT": "*",
            "INSERT": "invariant mode offending",
            "UPDATE": "checked_at mode offending",
        },
        READONLY: {"SELECT": "*"},
    },
    "ledger_seals": READ | {WORKER: {"SELECT": "*", "INSERT": "*"}},
    "seal_verification": READ | {WORKER: {"SELECT": "*", "UPDATE": "*"}},
    "api_keys": {
        API: {"SELECT": "*", "UPDATE": "last_used_at"},
        READONLY: {
            "SELECT": "created_at expires_at id last_used_at name replaces revoked_at scopes tenant"
        },
    },
    "alembic_version": READ,
    "ledger_entries_id_seq": READ,
    "reconciliation_results_id_seq": READ,
    # Identity columns draw from these with the table's own rights.
    "operator_actions_id_seq": {},
    "recon_jobs_id_seq": {},
}


async def _found(sql: Sql) -> dict[str, Rights]:
    """Return the rights that the catalog holds, an empty entry for an object without any."""
    found: dict[str, Rights] = {row["relname"]: {} for row in await sql.fetch(OBJECTS)}
    for row in await sql.fetch(RIGHTS):
        rights = found[row["relname"]].setdefault(row["role"], {})
        if rights.get(row["privilege_type"]) != "*":  # The table's right holds for each column.
            rights[row["privilege_type"]] = " ".join(row["columns"])
    return found


async def test_each_right_on_each_object_is_decided(sql: Sql) -> None:
    assert await _found(sql) == DECIDED


async def test_an_object_without_a_decision_is_found(sql: Sql) -> None:
    transaction = sql.transaction()
    await transaction.start()
    await sql.execute("CREATE TABLE refunds (id int); GRANT INSERT (id) ON refunds TO PUBLIC")
    assert (await _found(sql))["refunds"] == {"PUBLIC": {"INSERT": "id"}}
    await transaction.rollback()


async def test_each_right_beyond_tables_is_decided(sql: Sql) -> None:
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


@pytest.mark.parametrize("role", [API, WORKER, READONLY, "payments_owner"])
async def test_no_role_is_a_member_of_another(sql: Sql, role: str) -> None:
    member_of = await sql.fetch(
        "SELECT roleid::regrole::text FROM pg_auth_members WHERE member = $1::regrole", role
    )
    assert member_of == []
