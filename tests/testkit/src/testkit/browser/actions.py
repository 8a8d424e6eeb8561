"""Actions outside the browser: another client's payments, dead letters, webhooks."""

import json
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any
from uuid import uuid4

from testkit.browser.whole_system import WholeSystem
from testkit.camt_files import ACCOUNT
from testkit.waiting import LOOK_SECONDS, LOW_PRIORITY_SECONDS_MAX, WAIT_SECONDS_MAX

HOSTILE = "<script>window.evil = 1</script><img src=x onerror='window.evil = 2'>"


def pay_elsewhere(system: WholeSystem, account: str, amount: str, currency: str = "USD") -> str:
    """Create a payment as another client; return its id."""
    order = {"accountId": account, "amount": amount, "currency": currency}
    return str(_post(system, "/payments", order)["id"])


def add_bank(system: WholeSystem, name: str, account: str = ACCOUNT) -> None:
    """Declare a source of statements in EUR for payments of a channel with its name."""
    source = {"name": name, "accountIdentifier": account, "currency": "EUR"}
    _post(system, "/sources", {**source, "channel": name, "graceDays": 0})


def invoice(system: WholeSystem, bank: str, reference: str, amount: str) -> str:
    """Create a payment in EUR that arrives at the bank; return its id."""
    order = {"accountId": bank, "amount": amount, "currency": "EUR", "source": bank}
    return str(_post(system, "/payments", {**order, "reference": reference})["id"])


def pay_many_elsewhere(system: WholeSystem, accounts: Sequence[str], amount: str) -> None:
    """Create a payment into each of these accounts, in one batch, as another client."""
    items = [
        {"idempotencyKey": str(uuid4()), "accountId": account, "amount": amount}
        for account in accounts
    ]
    answers = _post(system, "/payments/batch", {"payments": items})["payments"]
    assert {answer["status"] for answer in answers} == {201}


def replay_elsewhere(system: WholeSystem, job_id: str) -> None:
    """Replay a dead letter as another operator."""
    _post(system, f"/jobs/{job_id}/replay", {"actor": "another operator"})


def _post(system: WholeSystem, path: str, body: object) -> Any:
    headers = {"Content-Type": "application/json", "Idempotency-Key": str(uuid4())}
    if system.api_key is not None:
        headers["Authorization"] = f"Bearer {system.api_key}"
    url, data = f"{system.api_url}{path}", json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=10) as answer:
        return json.load(answer)


@contextmanager
def posting_fails(
    system: WholeSystem, account: str, error: str = "the vault is shut"
) -> Iterator[None]:
    """Make the database reject every posting on the account while the block runs."""
    name = f"refuse_{account}"
    system.sql(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF NEW.account_id = '{account}' THEN RAISE EXCEPTION '{error}'; END IF;"
        " RETURN NEW; END $$;"
        f"CREATE TRIGGER {name} BEFORE INSERT ON ledger_entries"
        f" FOR EACH ROW EXECUTE FUNCTION {name}()"
    )
    try:
        yield
    finally:
        system.sql(f"DROP TRIGGER {name} ON ledger_entries; DROP FUNCTION {name}()")


def make_dead_letters(
    system: WholeSystem, account: str, count: int, error: str = "the vault is shut"
) -> list[str]:
    """Create payments whose jobs become dead letters; return the job ids, oldest first."""
    with posting_fails(system, account, error):
        system.worker.stop()
        try:
            ids = [pay_elsewhere(system, account, f"{number + 1}.00") for number in range(count)]
            listed = ", ".join(f"'{each}'" for each in ids)
            system.sql(f"UPDATE recon_jobs SET max_attempts = 1 WHERE payment_id IN ({listed})")
        finally:
            system.worker.start()
        query = (
            "SELECT id FROM recon_jobs"
            f" WHERE status = 'failed' AND payment_id IN ({listed}) ORDER BY id"
        )
        for _ in range(100):
            found = system.sql(query).split()
            if len(found) == count:
                return found
            system.sql("SELECT pg_sleep(0.1)")
    raise AssertionError("the worker has not given up")


def wait_until_settled(system: WholeSystem, account: str) -> None:
    """Wait until no payment of the account is pending. Raises TimeoutError."""
    query = f"SELECT count(*) FROM payments WHERE account_id = '{account}' AND status = 'pending'"
    _wait_for(system, query, "0")


def wait_until_matched(system: WholeSystem, source: str) -> None:
    """Wait until a run of the source's matching has seen all its lines. Raises TimeoutError."""
    query = (
        "SELECT count(*) FROM recon_runs JOIN recon_sources ON recon_sources.id = source_id"
        f" WHERE name = '{source}' AND finished_at IS NOT NULL AND cut_line_id >= ("
        "SELECT max(id) FROM statement_lines WHERE source_id = recon_sources.id)"
    )
    _wait_for(system, f"SELECT least(1, ({query}))", "1", LOW_PRIORITY_SECONDS_MAX)


def _wait_for(
    system: WholeSystem, query: str, answer: str, seconds_max: float = WAIT_SECONDS_MAX
) -> None:
    deadline = monotonic() + seconds_max
    while system.sql(query) != answer:
        if monotonic() > deadline:
            raise TimeoutError(f"still not {answer}: {query}")
        sleep(LOOK_SECONDS)


def add_delivery(system: WholeSystem) -> tuple[str, str]:
    """Store an endpoint with a failed delivery whose answer is hostile; return both ids."""
    webhook, delivery, event = str(uuid4()), str(uuid4()), f"evt_{uuid4().hex}"
    body = (
        '{"type":"webhook.test","timestamp":"2026-11-28T12:00:00.000000Z",'
        f'"data":{{"endpointId":"{webhook}"}},"id":"{event}"}}'
    )
    system.sql(
        "INSERT INTO webhook_endpoints (id, url, description, failing_since, enabled_at)"
        f" VALUES ('{webhook}', 'https://h.example.com/{webhook}', $${HOSTILE}$$, now(), now());"
        " INSERT INTO webhook_deliveries (id, endpoint_id, event_id, type, body, status, attempts,"
        f" finished_at) VALUES ('{delivery}', '{webhook}', '{event}', 'webhook.test',"
        f" '{body}', 'failed', 1, now());"
        " INSERT INTO webhook_attempts (delivery_id, number, duration_seconds, status_code, answer)"
        f" VALUES ('{delivery}', 1, 0.5, 500, $${HOSTILE}$$)"
    )
    return webhook, delivery
