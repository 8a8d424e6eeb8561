"""No statement of webhooks reads a whole table, for any of the planner's estimates."""

from uuid import UUID

import pytest

from payments_core.webhooks.resending import RESEND_FAILED
from recon_worker.webhooks import background, claims, metrics
from testkit.database.plans import whole_table_scans
from testkit.database.sql import Sql

DELIVERIES = 30_000
TABLES = "webhook_deliveries, webhook_attempts, webhook_endpoints, webhook_secrets"
LARGE = ("webhook_deliveries", "webhook_attempts")
SEED = f"""
INSERT INTO webhook_endpoints (id, url)
SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'https://hooks.example.com'
FROM generate_series(1, 20) AS n;
INSERT INTO webhook_secrets (endpoint_id, secret) SELECT id, sha256('x') FROM webhook_endpoints;
INSERT INTO webhook_deliveries (id, endpoint_id, position, event_id, type, payment_id, body, status,
                                attempts, created_at, finished_at)
SELECT ('00000000-0000-7000-9000-' || lpad(n::text, 12, '0'))::uuid,
       ('00000000-0000-7000-8000-' || lpad((n % 20 + 1)::text, 12, '0'))::uuid, n, 'evt_' || n,
       'payment.completed', ('00000000-0000-7000-a000-' || lpad((n / 100)::text, 12, '0'))::uuid,
       '{{}}', CASE WHEN n % 10 < 3 THEN 'pending' ELSE 'delivered' END, 1,
       now() - interval '1 hour', CASE WHEN n % 10 >= 3 THEN now() END
FROM generate_series(1, {DELIVERIES}) AS n;
INSERT INTO webhook_attempts (delivery_id, number, duration_seconds, status_code)
SELECT id, 1, 0.1, 200 FROM webhook_deliveries"""

IDS = f"'{{{','.join(str(UUID(int=n)) for n in range(1, 201))}}}'::uuid[]"
NUMBERS = f"'{{{','.join('1' * 200)}}}'"
TIMES = f"'{{{','.join(['2026-03-02'] * 200)}}}'::timestamptz[]"
TEXTS = f"'{{{','.join('x' * 200)}}}'::text[]"
TOKEN = f"'{UUID(int=1)}'::uuid"
STATEMENTS = {
    "claim": (claims.CLAIM, f"{IDS}, {NUMBERS}::int[], {TOKEN}, 100"),
    "record": (
        claims.RECORD,
        f"{IDS}, {IDS}, {NUMBERS}::int[], {TIMES}, {NUMBERS}::float8[], {NUMBERS}::int[],"
        f" {TEXTS}, {TEXTS}, {TEXTS}, {NUMBERS}::float8[]",
    ),
    "release": (claims.RELEASE, f"{IDS}, {IDS}"),
    "hand back": (claims.HAND_BACK, f"{IDS}, {IDS}"),
    "prune": (str(background.PRUNE), ""),
    "observe": (str(metrics.STATE), ""),
    "resend failed": (
        str(RESEND_FAILED).replace(":endpoint", "$1").replace(":since", "$2::timestamptz"),
        f"{TOKEN}, now()",
    ),
}


@pytest.fixture
async def ours(sql: Sql, worker_connection: Sql) -> Sql:
    """Return a connection of the worker to a database with many rows."""
    await sql.execute("ANALYZE " + TABLES)  # While they are small.
    await sql.execute(SEED)
    return worker_connection


async def test_no_statement_reads_all_deliveries_whatever_was_analyzed(sql: Sql, ours: Sql) -> None:
    assert await whole_table_scans(ours, STATEMENTS, LARGE) == {}, "analyzed while small"
    await sql.execute("ANALYZE " + TABLES)
    assert await whole_table_scans(ours, STATEMENTS, LARGE) == {}, "analyzed"
    await sql.execute(
        "UPDATE webhook_deliveries SET status = 'delivered', finished_at = now()"
        " WHERE status = 'pending' AND position % 100 <> 0"
    )
    assert await whole_table_scans(ours, STATEMENTS, LARGE) == {}, (
        "mostly delivered, outdated statistics"
    )
    await sql.execute("ANALYZE " + TABLES)
    assert await whole_table_scans(ours, STATEMENTS, LARGE) == {}, "mostly delivered, analyzed"


async def test_a_claim_holds_all_but_the_first_of_each_payment(sql: Sql, ours: Sql) -> None:
    """Of payments whose deliveries are all pending and due, one each is leased."""
    await sql.execute("UPDATE webhook_deliveries SET status = 'pending', finished_at = NULL")
    rows = await ours.fetch(claims.CLAIM, [], [], UUID(int=7), claims.IN_FLIGHT_OF_ONE_MAX * 20)
    leased = await sql.fetch(
        "SELECT payment_id, endpoint_id, position FROM webhook_deliveries"
        " WHERE lease_token IS NOT NULL"
    )
    assert len(rows) == len(leased) > 0
    pairs = {(row["payment_id"], row["endpoint_id"]) for row in leased}
    assert len(pairs) == len(leased)
    for row in leased:
        first = await sql.fetchval(
            "SELECT min(position) FROM webhook_deliveries"
            " WHERE payment_id = $1 AND endpoint_id = $2",
            row["payment_id"],
            row["endpoint_id"],
        )
        assert first == row["position"]
