"""Scenarios of users, operators and failures, over the whole system."""

import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx

from testkit.deployments.deployment import (
    Deployment,
    balance,
    pay,
    pay_with_retries,
    settled,
    wait_until_all_settled,
)

UNDER_WAY_SECONDS_MAX = 20.0
SUMMARY = """\
✅ ALL VALIDATION CHECKS PASSED

Summary:
  • Payment creation: ✅
  • Database persistence: ✅
  • Job queue: ✅
  • Worker processing: ✅
  • Ledger updates: ✅
  • Balance endpoint: ✅
  • Idempotency: ✅
"""


def _account() -> str:
    return f"e2e-{uuid4()}"


def test_the_seven_checks_pass_repeatedly(deployment: Deployment) -> None:
    for _ in range(2):
        done = deployment.validate()
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.endswith(SUMMARY)


def test_validate_names_an_unreachable_api(deployment: Deployment) -> None:
    for worker in deployment.workers:
        worker.stop()
    deployment.api.stop()
    try:
        done = deployment.validate()
    finally:
        deployment.api.start()
        for worker in deployment.workers:
            worker.start()
    assert done.returncode == 2
    # In containers it uses the name in their network instead of the published address.
    assert re.search(r"no API answers at http://[\w.-]+:\d+ ", done.stderr), done.stderr


def test_a_repeated_request_is_one_payment(client: httpx.Client) -> None:
    account, key = _account(), str(uuid4())
    first = pay(client, account, "10.00", key)
    settled(client, first["id"])
    assert pay(client, account, "10.00", key) == first
    assert balance(client, account) == "10.00"


def test_failed_and_discrepant_payments_follow_the_rules(client: httpx.Client) -> None:
    account = _account()
    outcomes = {}
    for amount in ("-5.13", "0", "7.13", "7.00"):
        payment = settled(client, pay(client, account, amount)["id"])
        result = payment["reconciliation"]
        outcomes[amount] = (payment["status"], result["status"], result["discrepancyAmount"])
    assert outcomes == {
        "-5.13": ("failed", "failed", None),
        "0": ("failed", "failed", None),
        "7.13": ("completed", "completed_with_discrepancy", "0.13"),
        "7.00": ("completed", "completed", None),
    }
    assert balance(client, account) == "14.13"


def test_a_hot_account_stays_exact_under_several_workers(deployment: Deployment) -> None:
    account = _account()
    with deployment.client() as client, ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: pay(client, account, "0.10"), range(300)))
        wait_until_all_settled(deployment)
        assert balance(client, account) == "30.00"
    deployment.audit()


def test_a_killed_workers_jobs_are_settled_once_by_another(deployment: Deployment) -> None:
    account = _account()
    victim = deployment.workers[0]
    with deployment.client() as client, ThreadPoolExecutor(8) as pool:
        paying = pool.map(lambda _: pay(client, account, "1.00"), range(200))
        for _ in range(3):
            victim.kill()
            victim.start()
        list(paying)
        wait_until_all_settled(deployment)
        assert balance(client, account) == "200.00"
    deployment.audit()


def test_retrying_clients_lose_nothing_while_the_api_is_replaced(
    deployment: Deployment,
) -> None:
    def replace() -> None:
        for _ in range(2):
            deployment.api.kill()
            deployment.api.start()

    accepted = _pay_while(deployment, replace)
    _assert_exactly_once(deployment, accepted)


def test_a_restart_of_postgres_under_load_loses_nothing(deployment: Deployment) -> None:
    def restart() -> None:
        deployment.database.kill()
        deployment.database.start()

    accepted = _pay_while(deployment, restart)
    # The same processes work again without a restart.
    _assert_exactly_once(deployment, accepted)


def test_a_stopping_worker_drains(deployment: Deployment) -> None:
    account = _account()
    with deployment.client() as client, ThreadPoolExecutor(8) as pool:
        keys = [str(uuid4()) for _ in range(100)]
        paying = pool.map(lambda key: pay_with_retries(client, account, "1.00", key), keys)
        deployment.workers[0].stop()
        deployment.api.stop()
        # The stopped worker's jobs are completed or handed back, without a lost attempt.
        deployment.api.start()
        list(paying)
        wait_until_all_settled(deployment)
        deployment.workers[0].start()
        assert balance(client, account) == "100.00"
    lost_attempts = "SELECT count(*) FROM recon_jobs j JOIN payments p ON p.id = j.payment_id"
    assert deployment.sql(f"{lost_attempts} WHERE account_id = '{account}' AND attempts > 1") == "0"
    deployment.audit()


def _pay_while(deployment: Deployment, disturb: Callable[[], None]) -> dict[str, Any]:
    """Return the payments accepted, by key, from retrying clients while `disturb` runs."""
    accepted: dict[str, Any] = {}
    disturbed = threading.Event()

    def customer(number: int) -> None:
        with deployment.client() as client:
            while not disturbed.is_set():
                key = str(uuid4())
                accepted[key] = pay_with_retries(client, f"e2e-customer-{number}", "1.00", key)

    with ThreadPoolExecutor(8) as pool:
        customers = [pool.submit(customer, number) for number in range(8)]
        try:
            # Postgres restarts faster than eight clients are created, so none would be disturbed.
            deadline = time.monotonic() + UNDER_WAY_SECONDS_MAX
            while len(accepted) < len(customers) and time.monotonic() < deadline:
                time.sleep(0.01)
            disturb()
        finally:
            disturbed.set()
        for running in customers:
            running.result()
    return accepted


def _assert_exactly_once(deployment: Deployment, accepted: dict[str, Any]) -> None:
    wait_until_all_settled(deployment)
    keys = ", ".join(f"'{key}'" for key in accepted)
    found = deployment.sql(
        "SELECT count(*), count(DISTINCT id), bool_and(status = 'completed')"
        f" FROM payments WHERE idempotency_key IN ({keys})"
    )
    assert found == f"{len(accepted)}|{len(accepted)}|t"
    with deployment.client() as client:
        for key, payment in list(accepted.items())[:20]:
            assert pay_with_retries(client, payment["accountId"], "1.00", key) == payment
    deployment.audit()
