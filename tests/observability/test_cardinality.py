"""Cardinality: clients' paths, accounts, keys and methods add no series."""

import secrets
import time
from concurrent.futures import ThreadPoolExecutor

import httpx

from testkit.observability.load import pay
from testkit.observability.observed_system import Observed

FLOOD = 12  # Rounds of eight requests, each with new names.


def series(text: str) -> set[str]:
    """Return every series of an answer of /metrics."""
    return {line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")}


def flood(observed: Observed, number: int) -> None:
    """Send requests with new names."""
    odd = secrets.token_hex(8)
    with httpx.Client(base_url=observed.api.url, timeout=30) as client:
        client.get(f"/{odd}/{number}")
        client.get(f"/payments/{odd}")
        client.get(f"/accounts/acc-{odd}/balance")
        client.get(f"/payments?accountId=acc-{odd}")
        client.request(f"X{odd.upper()}", "/payments")
        pay(client, f"acc-{odd}", f"{number + 1}.25", key=f"key-{odd}")
        httpx.get(f"{observed.ui.url}/accounts/{odd}")
        httpx.get(f"{observed.ui.url}/{odd}")


def wait_for_first_observations(observed: Observed) -> None:
    """Wait for the series that appear with the first audit."""
    deadline = time.monotonic() + 30
    while "payments_audit_last_timestamp_seconds " not in observed.api.metrics():
        assert time.monotonic() < deadline, "no audit"
        time.sleep(0.2)


def test_a_flood_of_paths_accounts_keys_and_methods_adds_no_series(observed: Observed) -> None:
    processes = (observed.api, observed.worker, observed.ui)
    wait_for_first_observations(observed)
    for number in range(3):
        flood(observed, number)
        for process in processes:
            process.metrics()
    before = [series(process.metrics()) for process in processes]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: flood(observed, number), range(FLOOD)))
    after = [series(process.metrics()) for process in processes]
    # A request may add a series for a new status, but not for its own name.
    added = set().union(*after) - set().union(*before)
    assert {one for one in added if "status=" not in one and "_bucket" not in one} == set()
    assert len(added) < 30
    assert all(len(one) < 1_000 for one in after)
    assert not any("acc-" in one or "key-" in one for one in set().union(*after))


def test_unknown_paths_and_methods_are_counted_together(observed: Observed) -> None:
    flood(observed, 1)
    api = series(observed.api.metrics())
    routes = {one for one in api if one.startswith("http_server_requests_total")}
    assert any('http_route="unmatched",method="GET",status="404"' in one for one in routes)
    assert any('method="other"' in one for one in routes)
    for process in (observed.api, observed.ui):
        requests = {
            one for one in series(process.metrics()) if one.startswith("http_server_requests_total")
        }
        assert 0 < len(requests) < 100
