"""A load that causes every event that a dashboard shows."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import cycle

import httpx

from testkit.camt_files import ACCOUNT, Day, Entry, camt053

AMOUNTS = ("10.00", "25.50", "-5.00", "0.00", "7.13", "99.99")
POISON = "poisoned"  # Payments to this account cannot be settled: see `poison`.

# Settling such a payment fails, as with a bug.
POISON_SQL = f"""
CREATE OR REPLACE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.account_id = '{POISON}' THEN RAISE EXCEPTION 'poisoned payment'; END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER poison BEFORE UPDATE ON payments
    FOR EACH ROW EXECUTE FUNCTION poison();"""


def pay(client: httpx.Client, account: str, amount: str, key: str | None = None) -> httpx.Response:
    """Post one payment."""
    return client.post(
        "/payments",
        json={"accountId": account, "amount": amount, "description": "of a test"},
        headers={"Idempotency-Key": key or str(uuid.uuid4())},
    )


def cause_every_outcome(api_url: str, rounds: int = 20) -> None:
    """Send payments of every outcome, replays, rejected requests, reads and unknown paths."""
    amounts = cycle(AMOUNTS)
    with httpx.Client(base_url=api_url, timeout=20) as client, ThreadPoolExecutor(8) as pool:
        for number in range(rounds):
            answers = list(pool.map(lambda n: pay(client, f"acc-{n}", next(amounts)), range(12)))
            first = answers[0].json()
            key = f"again-{uuid.uuid4()}"
            for _ in range(2):
                assert pay(client, "acc-replayed", "1.00", key).status_code == 201
            assert pay(client, "acc-1", "1.001").status_code == 422
            # More than the payment, if it is completed at all.
            path = f"/payments/{first['id']}/reversals"
            too_much = {"amount": "1000.00", "reason": "Of a test"}
            refused = client.post(path, json=too_much, headers={"Idempotency-Key": key})
            assert refused.status_code in (409, 422)
            # On a separate connection, which may be closed: the body is rejected before it is read.
            assert httpx.post(f"{api_url}/payments", json={}, timeout=20).status_code == 400
            assert client.get(f"/nowhere/{number}").status_code == 404
            for path in (
                f"/payments/{first['id']}",
                "/payments?limit=5",
                f"/accounts/{first['accountId']}/balance",
            ):
                assert client.get(path).status_code == 200


def upload_statement(client: httpx.Client, days_ago: int) -> None:
    """Upload a bank's statement of one line that no entry matches; the first adds the bank."""
    source = {"name": "bank", "accountIdentifier": ACCOUNT, "currency": "EUR"}
    assert client.post("/sources", json=source).status_code in (201, 409)
    on = datetime.now(UTC).date() - timedelta(days=days_ago)
    day = Day(
        [Entry("10.00")], from_on=str(on), bank_id=f"S-{days_ago}", opening=str(-10 * days_ago)
    )
    assert client.post("/statements?source=bank", content=camt053(day)).status_code == 202
