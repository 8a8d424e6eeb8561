"""Actions outside the browser: another client's payments, and dead letters."""

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic, sleep
from uuid import uuid4

from testkit.browser.whole_system import WholeSystem
from testkit.waiting import LOOK_SECONDS, WAIT_SECONDS_MAX


def pay_elsewhere(system: WholeSystem, account: str, amount: str, currency: str = "USD") -> str:
    """Create a payment as another client; return its id."""
    headers = {"Content-Type": "application/json", "Idempotency-Key": str(uuid4())}
    if system.api_key is not None:
        headers["Authorization"] = f"Bearer {system.api_key}"
    request = urllib.request.Request(
        f"{system.api_url}/payments",
        json.dumps({"accountId": account, "amount": amount, "currency": currency}).encode(),
        headers,
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(json.load(answer)["id"])


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
    """Create payments whose jobs become dead letters; return the job ids."""
    with posting_fails(system, account, error):
        system.worker.stop()
        try:
            ids = [pay_elsewhere(system, account, f"{number + 1}.00") for number in range(count)]
            listed = ", ".join(f"'{each}'" for each in ids)
            system.sql(f"UPDATE recon_jobs SET max_attempts = 1 WHERE payment_id IN ({listed})")
        finally:
            system.worker.start()
        query = f"SELECT id FROM recon_jobs WHERE status = 'failed' AND payment_id IN ({listed})"
        for _ in range(100):
            found = system.sql(query).split()
            if len(found) == count:
                return found
            system.sql("SELECT pg_sleep(0.1)")
    raise AssertionError("the worker has not given up")


def wait_until_settled(system: WholeSystem, account: str) -> None:
    """Wait until no payment of the account is pending. Raises TimeoutError."""
    query = f"SELECT count(*) FROM payments WHERE account_id = '{account}' AND status = 'pending'"
    deadline = monotonic() + WAIT_SECONDS_MAX
    while system.sql(query) != "0":
        if monotonic() > deadline:
            raise TimeoutError(f"payments of {account} are still pending")
        sleep(LOOK_SECONDS)
