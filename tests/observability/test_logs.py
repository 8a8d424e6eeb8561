"""Logs: one JSON object per line, with trace ids; no duplicates, secrets or clients' data."""

import time
import uuid

import httpx

from testkit.observability.observed_system import Observed, ObservedSystem, Process
from testkit.waiting import WAIT_SECONDS_MAX

CANARY = "canary-4711"


def lines_of(process: Process, event: str, **fields: object) -> list[dict[str, object]]:
    """Wait for lines of that event with these fields, and return them."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    wanted = {"event": event, **fields}.items()
    while True:
        found = [line for line in process.events() if wanted <= line.items()]
        if found:
            return found
        assert time.monotonic() < deadline, [line["event"] for line in process.events()]
        time.sleep(0.05)


def post(url: str, key: str, **fields: object) -> httpx.Response:
    """Post a payment whose description and key are canaries."""
    body = {"accountId": "acc-log", "amount": "1.00", "description": f"{CANARY} text", **fields}
    return httpx.post(f"{url}/payments", json=body, headers={"Idempotency-Key": key}, timeout=20)


def test_a_request_is_one_log_line_with_its_trace_id(observed: Observed) -> None:
    key = f"{CANARY}-{uuid.uuid4()}"
    created = post(observed.api.url, key).json()
    where = f"/payments/{created['id']}"
    mine = lines_of(observed.api, "http_request", location=where)
    assert len(mine) == 1
    line = mine[0]
    assert line["method"] == "POST"
    assert line["route"] == "/payments"
    assert line["status"] == 201
    assert line["service"] == "payments-api"
    assert float(str(line["duration_ms"])) > 0
    traceparent = httpx.get(f"{observed.api.url}{where}").json()["traceparent"]
    assert line["trace_id"] == traceparent[3:35]


def test_probes_and_scrapes_are_not_logged(observed: Observed) -> None:
    for _ in range(3):
        httpx.get(f"{observed.worker.url}/readyz")
        observed.worker.metrics()
    assert not any(line["event"] == "http_request" for line in observed.worker.events())


def test_every_process_logs_its_address_once(observed: Observed) -> None:
    for process in (observed.api, observed.worker, observed.ui):
        started = [line for line in process.events() if line["event"] == "server_started"]
        assert [line["port"] for line in started] == [process.port]
        assert "Running on" not in process.log.read_text()


def cause_every_kind_of_error(system: ObservedSystem, api: Process) -> None:
    """Cause rejected requests, a row that the database rejects, and jobs that quote a row."""
    post(api.url, f"{CANARY} with spaces")
    post(api.url, f"{CANARY}-1", amount=f"{CANARY}")
    post(api.url, f"{CANARY}-2", accountId=f"{CANARY}\u0000")
    httpx.get(f"{api.url}/payments?accountId={CANARY}&{CANARY}=1")
    httpx.get(f"{api.url}/{CANARY}")
    key = f"{CANARY}-{uuid.uuid4()}"
    assert post(api.url, key).status_code == 201
    assert post(api.url, key, amount="2.00").status_code == 422
    # Postgres quotes the whole row that a CHECK rejects, at creation ...
    system.sql("ALTER TABLE payments ADD CONSTRAINT no_log CHECK (amount <> 66) NOT VALID")
    # ... and at settlement.
    system.sql(
        "ALTER TABLE payments ADD CONSTRAINT no_settle"
        " CHECK (amount <> 77 OR status = 'pending') NOT VALID"
    )
    assert post(api.url, f"{CANARY}-{uuid.uuid4()}", amount="66").status_code == 500
    assert post(api.url, f"{CANARY}-{uuid.uuid4()}", amount="77").status_code == 201


def test_no_line_holds_a_description_a_key_or_a_secret(observed: Observed) -> None:
    try:
        cause_every_kind_of_error(observed.system, observed.api)
        lines_of(observed.api, "request_failed")
        lines_of(observed.worker, "job_failed")
    finally:
        observed.system.sql("ALTER TABLE payments DROP CONSTRAINT no_log")
        observed.system.sql("ALTER TABLE payments DROP CONSTRAINT no_settle")
    for process in (observed.api, observed.worker, observed.ui):
        text = process.log.read_text()
        at = text.find(CANARY)
        assert at < 0, f"{process.name}: {text[max(0, at - 400) : at + 200]}"
