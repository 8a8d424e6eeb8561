"""The database rejects endpoints, deliveries and attempts of webhooks that cannot be."""

import asyncpg
import pytest

from testkit.database.guarded_rows import insert
from testkit.database.sql import Sql

from .refusals import assert_refused, constraints_of

ENDPOINT = "'00000000-0000-7000-8000-00000000000a'"
DELIVERY = "'00000000-0000-7000-8000-00000000000b'"
CHANGED = "UPDATE webhook_endpoints SET"
OTHER = "'00000000-0000-7000-8000-0000000000ff'"


def _endpoint(**columns: str) -> str:
    return insert(
        "webhook_endpoints", {"id": OTHER, "url": "'https://hooks.example.com/'"}, columns
    )


def _secret(**columns: str) -> str:
    values = {"endpoint_id": ENDPOINT, "secret": "sha256('x')", "expires_at": "now()"}
    return insert("webhook_secrets", values, columns)


def _delivery(**columns: str) -> str:
    values = {
        "id": OTHER,
        "endpoint_id": ENDPOINT,
        "position": "2",
        "event_id": "'evt_2'",
        "type": "'payment.completed'",
        "body": "'{}'",
    }
    return insert("webhook_deliveries", values, columns)


def _attempt(**columns: str) -> str:
    values = {
        "delivery_id": DELIVERY,
        "number": "2",
        "duration_seconds": "0.1",
        "status_code": "200",
    }
    return insert("webhook_attempts", values, columns)


def _disabling(**columns: str) -> str:
    return insert("webhook_disablings", {"endpoint_id": ENDPOINT, "reason": "'gone'"}, columns)


@pytest.fixture
async def webhooks(sql: Sql) -> Sql:
    """Create an endpoint with a secret, a delivery with an attempt, and a disabling."""
    for row in (
        _endpoint(id=ENDPOINT),
        _secret(id=ENDPOINT, expires_at="NULL"),
        _delivery(id=DELIVERY, position="1"),
        _attempt(number="1"),
        f"{CHANGED} enabled_at = NULL, disabled_reason = 'gone'; {_disabling()}",
        f"{CHANGED} enabled_at = now(), disabled_reason = NULL",
    ):
        await sql.execute(row)
    return sql


CONSTRAINTS = {
    "webhook_endpoints_pkey": _endpoint(id=ENDPOINT),
    "webhook_tenant_is_a_name": _endpoint(tenant="'Acme'"),
    "webhook_has_a_url": _endpoint(url="''"),
    "webhook_description_is_short": _endpoint(description="repeat('x', 501)"),
    "disabled_reason_known": _endpoint(enabled_at="NULL", disabled_reason="'tired'"),
    "disabled_webhook_has_a_reason": _endpoint(enabled_at="NULL"),
    "deleted_webhook_is_disabled": _endpoint(deleted_at="now()"),
    "webhook_secrets_pkey": _secret(id=ENDPOINT),
    "webhook_secrets_endpoint_id_fkey": _secret(endpoint_id=OTHER),
    "secret_has_24_to_64_bytes": _secret(secret="substr(sha256('x'), 1, 23)"),
    "webhook_deliveries_pkey": _delivery(id=DELIVERY),
    "webhook_deliveries_endpoint_id_fkey": _delivery(endpoint_id=OTHER),
    "webhook_deliveries_endpoint_id_position_key": _delivery(position="1"),
    "delivery_status_known": _delivery(status="'lost'", finished_at="now()"),
    "finished_delivery_has_a_time": _delivery(status="'delivered'"),
    "delivery_attempts_are_counted": _delivery(earlier_attempts="1"),
    "only_tests_have_no_position": _delivery(position="NULL"),
    "webhook_attempts_delivery_id_fkey": _attempt(delivery_id=OTHER),
    "webhook_attempts_pkey": _attempt(number="1"),
    "webhook_attempts_are_numbered": _attempt(number="0"),
    "attempt_has_an_outcome": _attempt(status_code="NULL"),
    "webhook_disablings_pkey": _disabling(id="(SELECT min(id) FROM webhook_disablings)"),
    "webhook_disablings_endpoint_id_fkey": _disabling(endpoint_id=OTHER),
    "disabling_reason_known": _disabling(reason="'operator'"),
    "webhook_cursor_pkey": "INSERT INTO webhook_cursor (position) VALUES (1)",
    "webhook_cursor_is_one_row": "INSERT INTO webhook_cursor VALUES (false, 1)",
}
ALSO_REFUSED = [
    ("webhook_has_a_url", _endpoint(url="repeat('x', 2001)")),
    ("disabled_webhook_has_a_reason", _endpoint(disabled_reason="'operator'")),
    ("secret_has_24_to_64_bytes", _secret(secret="sha256('x') || sha256('x') || '\\x00'")),
    ("finished_delivery_has_a_time", _delivery(finished_at="now()")),
    (
        "finished_delivery_has_a_time",
        _delivery(status="'failed'", finished_at="now()", lease_token=OTHER),
    ),
    ("only_tests_have_no_position", _delivery(type="'webhook.test'")),
    ("attempt_has_an_outcome", _attempt(answer="repeat('x', 1025)")),
    ("attempt_has_an_outcome", _attempt(error="repeat('x', 501)")),
]


@pytest.mark.parametrize(("name", "statement"), [*CONSTRAINTS.items(), *ALSO_REFUSED])
async def test_each_constraint_refuses_by_its_name(
    webhooks: Sql, name: str, statement: str
) -> None:
    await assert_refused(webhooks, statement, name)


async def test_an_endpoint_has_one_current_and_one_former_secret(webhooks: Sql) -> None:
    await webhooks.execute(_secret())
    for expires_at in ("NULL", "now()"):
        with pytest.raises(
            asyncpg.UniqueViolationError, match="webhook_secrets_current_and_previous"
        ):
            await webhooks.execute(_secret(expires_at=expires_at))


DELETED = "deleted_at = now(), enabled_at = NULL, disabled_reason = 'operator'"
AGAIN = (
    "UPDATE webhook_deliveries SET status = 'pending', next_attempt_at = now(), finished_at = NULL,"
    " lease_token = NULL, earlier_attempts = attempts, give_up_at = now() + interval '3 days'"
)
DEATH = (
    "SET session_replication_role = replica;"
    " INSERT INTO job_deaths (job_id, payment_id, attempts) VALUES (1, gen_random_uuid(), 1);"
    " RESET session_replication_role"
)
# The role, what it does, what was done before, and the trigger that refuses.
FORGERIES = [
    ("worker", "DELETE FROM webhook_deliveries", "", "webhook_deliveries_are_kept"),
    ("worker", "DELETE FROM webhook_attempts", "", "webhook_attempts_are_kept"),
    ("worker", "DELETE FROM webhook_disablings", "", "webhook_disablings_are_kept"),
    ("worker", "DELETE FROM job_deaths", DEATH, "job_deaths_are_kept"),
    ("worker", "DELETE FROM webhook_endpoints", "", "webhook_endpoints_are_kept"),
    (
        "worker",
        "DELETE FROM webhook_endpoints",
        f"{CHANGED} {DELETED}",
        "webhook_endpoints_are_kept",
    ),
    *(
        ("api", f"{AGAIN}, {forged}", "", "webhook_deliveries_are_not_forged")
        for forged in (
            "status = 'delivered', finished_at = now()",
            "lease_token = gen_random_uuid()",
            "earlier_attempts = 0",
            "next_attempt_at = now() + interval '1 day'",
            "give_up_at = now()",
        )
    ),
    (
        *("api", AGAIN, "UPDATE webhook_deliveries SET lease_token = gen_random_uuid()"),
        "webhook_deliveries_are_not_forged",
    ),
    *(
        ("api", f"{CHANGED} {forged}", "", "webhook_endpoints_are_not_forged")
        for forged in (
            "failing_since = now()",
            "paused_until = now() + interval '1 year'",
            "enabled_at = NULL, disabled_reason = 'gone'",
            f"{DELETED}, deleted_at = now() - interval '31 days'",
        )
    ),
    *(
        (
            *(role, f"{CHANGED} deleted_at = NULL", f"{CHANGED} {DELETED}"),
            "webhook_endpoints_are_not_forged",
        )
        for role in ("api", "worker")
    ),
    ("worker", "UPDATE webhook_cursor SET position = 0", "", "webhook_cursor_advances"),
    ("worker", f"UPDATE webhook_cursor SET position = {2**62}", "", "webhook_cursor_advances"),
    ("api", f"{CHANGED} after_position = 2", "", "webhook_endpoints_miss_nothing"),
    ("api", _endpoint(after_position="2"), "", "webhook_endpoints_miss_nothing"),
]


def _as_given(statement: str) -> str:
    """Return the statement without an assignment that a later one replaces."""
    head, _, tail = statement.partition(" SET ")
    given = dict(one.split(" = ", 1) for one in tail.split(", "))
    return f"{head} SET {', '.join(f'{name} = {value}' for name, value in given.items())}"


@pytest.fixture
async def sent(webhooks: Sql) -> Sql:
    """Count the attempt of the delivery, and let the log end at position 1."""
    await webhooks.execute("UPDATE webhook_deliveries SET attempts = 1")
    await webhooks.execute("UPDATE webhook_cursor SET position = 1")
    return webhooks


@pytest.mark.parametrize(("role", "statement", "before", "trigger"), FORGERIES)
async def test_a_role_forges_and_forgets_nothing(
    sent: Sql, database_url: str, role: str, statement: str, before: str, trigger: str
) -> None:
    await sent.execute(_as_given(before) if " SET " in before else before or "SELECT")
    session = await asyncpg.connect(database_url.replace("postgres@", f"payments_{role}@"))
    try:
        with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
            await session.execute(_as_given(statement) if " SET " in statement else statement)
    finally:
        await session.close()
    assert refused.value.constraint_name == trigger


async def test_the_api_sends_again_edits_and_deletes(sent: Sql, database_url: str) -> None:
    await sent.execute(f"{CHANGED} failing_since = now(), paused_until = now()")
    session = await asyncpg.connect(database_url.replace("postgres@", "payments_api@"))
    try:
        for statement in (
            AGAIN,
            f"{CHANGED} url = 'https://other.example.com/'",
            f"{CHANGED} enabled_at = NULL, disabled_reason = 'operator'",
            f"{CHANGED} enabled_at = now(), disabled_reason = NULL, failing_since = NULL,"
            " paused_until = NULL, after_position = 1",
            _endpoint(after_position="1"),
            f"{CHANGED} {DELETED}",
        ):
            await session.execute(statement)
    finally:
        await session.close()


async def test_every_constraint_of_the_tables_is_in_the_table_above(sql: Sql) -> None:
    assert await constraints_of(sql, "^webhook_") == set(CONSTRAINTS)
