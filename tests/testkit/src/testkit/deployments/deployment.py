"""The system under test: a real Postgres, two workers, the API and the page, driven from outside.

A test stops, kills and restarts a part in the same way whether the parts are processes of this
checkout or containers of the built images.
"""

import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import uuid4

import httpx

from payments_local.postgres import BIN
from testkit.checked_command import output_of

SETTLED_SECONDS_MAX = 60.0
RETRY_SECONDS_MAX = 60.0
SEALED_SECONDS_MAX = 30.0
LEASE_SECONDS = "2"  # Short, so that another worker soon takes a killed worker's jobs.


class Part(Protocol):
    """A service that can be stopped, killed and started again at the same address."""

    def start(self) -> object:
        """Start it, and return when it is ready."""

    def stop(self) -> object:
        """Send SIGTERM, and return when it has drained and ended."""

    def kill(self) -> None:
        """End it without warning, as a power cut would."""


class Database(Protocol):
    """The running Postgres server. `url` is the superuser's, as this machine reaches it."""

    @property
    def url(self) -> str:
        """postgresql://user:password@host:port/payments"""

    def kill(self) -> None:
        """Stop it at once, cutting every connection."""

    def start(self) -> None:
        """Start it again at the same address, on the same data."""


@dataclass
class Deployment:
    """All parts that a scenario needs.

    `keyed_api` is a second API on the same database that requires API keys. It is not started.
    """

    database: Database
    api: Part
    keyed_api: Part
    workers: list[Part]
    ui: Part
    api_url: str
    keyed_api_url: str
    ui_url: str
    run_command: Callable[..., "subprocess.CompletedProcess[str]"]

    def client(self) -> httpx.Client:
        """Return an HTTP client of the API."""
        return httpx.Client(base_url=self.api_url, timeout=15)

    def sql(self, text: str) -> str:
        """Run SQL as the superuser; return the last result as text."""
        psql = (str(BIN / "psql"), self.database.url, "-XAtqv", "ON_ERROR_STOP=1", "-c", text)
        return output_of(*psql).strip()

    def make_key(self, scope: str) -> str:
        """Create an API key with the scope."""
        made = self.run_command("make-key", scope)
        assert made.returncode == 0, made.stderr
        return made.stdout.strip()

    def audit(self) -> None:
        """Assert that every invariant of the ledger and every seal holds, from the first row on."""
        deadline = time.monotonic() + SEALED_SECONDS_MAX
        while self.sql("SELECT count(*) FROM ledger_seals") == "0":
            assert time.monotonic() < deadline, "nothing is sealed"
            time.sleep(0.2)
        for command in ("audit", "audit-seal"):
            done = self.run_command(command)
            assert done.returncode == 0, done.stdout + done.stderr

    def validate(self) -> "subprocess.CompletedProcess[str]":
        """Run the seven checks, as an operator does."""
        return self.run_command("validate")


def pay(client: httpx.Client, account_id: str, amount: str, key: str | None = None) -> Any:
    """Post a payment and return its JSON."""
    answer = client.post(
        "/payments",
        json={"accountId": account_id, "amount": amount},
        headers={"Idempotency-Key": key or str(uuid4())},
    )
    assert answer.status_code == 201, answer.text
    return answer.json()


def pay_with_retries(client: httpx.Client, account_id: str, amount: str, key: str) -> Any:
    """Post with the same key until an answer arrives, as a persistent client does."""
    deadline = time.monotonic() + RETRY_SECONDS_MAX
    while True:
        try:
            answer = client.post(
                "/payments",
                json={"accountId": account_id, "amount": amount},
                headers={"Idempotency-Key": key},
            )
            if answer.status_code == 201:
                return answer.json()
            assert answer.status_code == 503, answer.text
        except httpx.TransportError:
            pass  # Refused, reset or interrupted: the key makes another attempt safe.
        assert time.monotonic() < deadline, f"no answer for {key}"
        time.sleep(0.05)


def settled(client: httpx.Client, payment_id: str) -> Any:
    """Return the payment once it is no longer pending."""
    deadline = time.monotonic() + SETTLED_SECONDS_MAX
    while True:
        payment = client.get(f"/payments/{payment_id}").raise_for_status().json()
        if payment["settledAt"] is not None:
            return payment
        assert time.monotonic() < deadline, f"still pending: {payment}"
        time.sleep(0.05)


def wait_until_all_settled(deployment: Deployment) -> None:
    """Return when no payment is pending."""
    deadline = time.monotonic() + SETTLED_SECONDS_MAX
    query = "SELECT count(*) FROM payments WHERE settled_at IS NULL"
    while (pending := deployment.sql(query)) != "0":
        assert time.monotonic() < deadline, f"{pending} payments are still open"
        time.sleep(0.1)


def balance(client: httpx.Client, account_id: str) -> str:
    """Return the account's balance in USD."""
    answer = client.get(f"/accounts/{account_id}/balance").raise_for_status()
    text: str = answer.json()["balance"]
    return text


def service_commands(api_url: str) -> dict[str, tuple[str, ...]]:
    """Return the command of each service for `Deployment.run_command`."""
    return {
        "migrate": ("payments-api", "migrate"),
        "make-key": ("payments-api", "keys", "create", "--name", "e2e", "--scopes"),
        "validate": ("payments-api", "validate", "--api-url", api_url),
        "audit": ("recon-worker", "audit", "--full"),
        "audit-seal": ("recon-worker", "audit", "--seal"),
    }


def service_settings(url_of_role: Callable[[str], str]) -> dict[str, Mapping[str, str]]:
    """Return each service's environment, without its address and port."""
    return {
        "payments-api": {
            "DATABASE_URL": url_of_role("payments_api"),
            "PAYMENTS_API_AUTH": "off",
            # In a container it listens on every address; only this machine reaches the port.
            "PAYMENTS_API_ALLOW_UNAUTHENTICATED_REMOTE": "true",
        },
        "recon-worker": {
            "DATABASE_URL": url_of_role("payments_worker"),
            "RECON_WORKER_LEASE_SECONDS": LEASE_SECONDS,
            "RECON_WORKER_RESCUE_INTERVAL_SECONDS": "0.5",
            "RECON_WORKER_BATCH_SIZE": "50",
        },
        "payments-ui": {"PAYMENTS_UI_ALLOW_UNAUTHENTICATED_REMOTE": "true"},
    }
