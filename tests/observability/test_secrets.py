"""Secrets: each is a canary; the services log at DEBUG and fail, and no output contains one."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httpx
import psutil
import pytest
from argon2 import PasswordHasher

from payments_local.ports import free_port
from testkit.observability.observed_system import ObservedSystem, Process, observed_system
from testkit.observability.otlp_endpoint import OtlpEndpoint, otlp_endpoint
from testkit.sign_in.oidc_provider import CLIENT_SECRET, provider_settings, running_provider
from testkit.waiting import WAIT_SECONDS_MAX

from .canaries import (
    CURSOR_KEY,
    DATABASE_PASSWORD,
    OTLP_TOKEN,
    ROLE_PASSWORD,
    SECRETS,
    UI_SECRET_KEY,
    WRONG_API_KEY,
    assert_absent,
    run_command,
)

# Not secrets, but they may contain clients' private data: never in logs or traces.
IDEMPOTENCY_KEY = "canary-of-idempotency"
DESCRIPTION = "canary-of-a-description"
PASSWORD = "canary-of-a-password"
WRONG_PASSWORD = "canary-of-a-password-typed-wrong"
PRIVATE = (IDEMPOTENCY_KEY, DESCRIPTION)


@dataclass(frozen=True)
class Canaries:
    """A system whose secrets the test knows."""

    system: ObservedSystem
    otlp: OtlpEndpoint
    api: Process
    worker: Process
    ui: Process
    api_key: str

    @property
    def processes(self) -> tuple[Process, ...]:
        """Return all its services."""
        return self.api, self.worker, self.ui


def _with_password(url: str, role: str) -> str:
    return url.replace("//postgres@", f"//{role}:{DATABASE_PASSWORD}@")


@pytest.fixture(scope="module")
def canaries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Canaries]:
    """Run API, worker and page at DEBUG, with a canary for each secret."""
    folder: Path = tmp_path_factory.mktemp("canaries")
    with otlp_endpoint() as otlp, observed_system(folder) as system:
        _migrate_with_canaries(system)
        yield _start_services(system, otlp, _create_page_key(system))


def _migrate_with_canaries(system: ObservedSystem) -> None:
    """Migrate with a canary for each password, which the output must not contain."""
    output = run_command(
        *("payments_api", "migrate"),
        DATABASE_URL=_with_password(system.postgres.url, "postgres"),
        PAYMENTS_DB_READONLY_PASSWORD=ROLE_PASSWORD,
        LOG_LEVEL="DEBUG",
    )
    assert ROLE_PASSWORD not in output


def _create_page_key(system: ObservedSystem) -> str:
    """Create the page's API key with the command line, and return it."""
    created = subprocess.run(
        [
            *(sys.executable, "-m", "payments_api"),
            *("keys", "create", "--name", "page", "--scopes", "all"),
        ],
        env={**os.environ, "DATABASE_URL": system.postgres.url},
        check=True,
        capture_output=True,
        text=True,
    )
    return created.stdout.split()[-1]


def _start_services(system: ObservedSystem, otlp: OtlpEndpoint, api_key: str) -> Canaries:
    """Start API, worker and page with canaries as their secrets."""
    shared = {
        "LOG_LEVEL": "DEBUG",
        "OTEL_TRACES_SAMPLER": "always_on",
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{OTLP_TOKEN}",
        **otlp.environ("http/protobuf"),
    }
    api = system.add(
        *("api", "payments_api", "serve"),
        **shared,
        DATABASE_URL=_with_password(system.postgres.url, "payments_api"),
        PAYMENTS_API_AUTH="on",
        PAYMENTS_API_CURSOR_KEY=CURSOR_KEY,
        PAYMENTS_API_RATE_LIMIT_PER_KEY="100000/second",
    )
    worker = system.add(
        *("worker", "recon_worker", "run"),
        **shared,
        DATABASE_URL=_with_password(system.postgres.url, "payments_worker"),
    )
    ui = system.add(
        *("ui", "payments_ui", "serve"),
        **shared,
        PAYMENTS_UI_API_URL=api.url,
        PAYMENTS_UI_API_KEY=api_key,
        PAYMENTS_UI_SECRET_KEY=UI_SECRET_KEY,
    )
    return Canaries(system, otlp, api, worker, ui, api_key)


def _answers(canaries: Canaries) -> list[str]:
    """Collect the services' answers to valid and invalid requests; create and settle a payment."""
    output = []
    key = {"Authorization": f"Bearer {canaries.api_key}"}
    wrong = {"Authorization": f"Bearer {WRONG_API_KEY}"}
    body = {"accountId": "acc-canary", "amount": "1.00", "description": DESCRIPTION}
    with httpx.Client(base_url=canaries.api.url, timeout=20) as api:
        idempotency = {"Idempotency-Key": IDEMPOTENCY_KEY}
        created = api.post("/payments", json=body, headers={**key, **idempotency})
        assert created.status_code == 201, created.text
        refused = [
            api.post("/payments", json=body, headers={**wrong, **idempotency}),
            api.post("/payments", json={**body, "amount": 2}, headers={**key, **idempotency}),
            api.get("/payments?cursor=made-up", headers=key),
            api.get("/payments", headers=wrong),
            api.post("/payments", content=b"{", headers={**key, **idempotency}),
        ]
        assert all(answer.status_code >= 400 for answer in refused)
        output += [str(answer.headers) + answer.text for answer in refused]
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while api.get(created.headers["Location"], headers=key).json()["status"] == "pending":
            assert time.monotonic() < deadline
            time.sleep(0.05)
    for process in canaries.processes:
        for path in ("/health", "/readyz", "/livez", "/metrics", "/openapi.json", "/docs", "/"):
            answer = httpx.get(f"{process.url}{path}", timeout=20)
            output.append(str(answer.headers) + answer.text)
    return output


def _stop_database_until_errors_are_logged(canaries: Canaries) -> None:
    """Stop the database, and wait until each service has logged an error."""
    canaries.system.postgres.crash()
    key = {"Authorization": f"Bearer {canaries.api_key}", "Idempotency-Key": IDEMPOTENCY_KEY}
    body = {"accountId": "acc-canary", "amount": "1.00", "description": DESCRIPTION}
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while httpx.post(f"{canaries.api.url}/payments", json=body, headers=key).status_code != 503:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    while "listen_lost" not in canaries.worker.log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _page(
    canaries: Canaries, name: str, settings: dict[str, str], port: int | None = None
) -> Process:
    return canaries.system.add(
        *(name, "payments_ui", "serve", port),
        LOG_LEVEL="DEBUG",
        OTEL_TRACES_SAMPLER="always_on",
        **canaries.otlp.environ("http/protobuf"),
        PAYMENTS_UI_API_URL=canaries.api.url,
        PAYMENTS_UI_API_KEY=canaries.api_key,
        PAYMENTS_UI_SECRET_KEY=UI_SECRET_KEY,
        **settings,
    )


def _form_token(page: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found, page
    return found[1]


def _assert_page_reveals_none(canaries: Canaries, page: Process, secrets: list[str]) -> None:
    metrics = page.metrics()
    page.stop()
    log = page.log.read_text()
    assert '"level": "debug"' in log
    for where, text in {
        "the log": log,
        "the metrics": metrics,
        "the traces": repr(canaries.otlp.spans),
    }.items():
        assert_absent(where, text, (*SECRETS, canaries.api_key, *secrets))


def test_password_sign_in_reveals_no_secret(canaries: Canaries) -> None:
    hashed = PasswordHasher(time_cost=1, memory_cost=35_840, parallelism=1).hash(PASSWORD)
    settings = {
        "PAYMENTS_UI_SIGN_IN": "password",
        "PAYMENTS_UI_PASSWORD_USER": "ada",
        "PAYMENTS_UI_PASSWORD_HASH": hashed,
    }
    page = _page(canaries, "page-with-password", settings)
    with httpx.Client(base_url=page.url, headers={"Origin": page.url}, timeout=20) as browser:
        for password, status in ((WRONG_PASSWORD, 403), (PASSWORD, 303)):
            token = _form_token(browser.get("/sign-in").text)
            form = {"csrf": token, "user": "ada", "password": password}
            assert browser.post("/sign-in", data=form).status_code == status
        shown = browser.get("/").text
        session = browser.cookies["payments_ui_session"]
        assert PASSWORD not in shown
        form = {"csrf": _form_token(shown)}
        assert browser.post("/sign-out", data=form).status_code < 400
    assert "sign_in_failed" in page.log.read_text()
    _assert_page_reveals_none(canaries, page, [PASSWORD, WRONG_PASSWORD, hashed, session])


def test_provider_sign_in_reveals_no_secret(canaries: Canaries) -> None:
    port = free_port()
    with running_provider() as provider:
        settings = provider_settings(provider, f"http://127.0.0.1:{port}")
        page = _page(canaries, "page-with-provider", settings, port)
        answers = []
        with httpx.Client(base_url=page.url, timeout=20) as browser:
            for fault in ("wrong audience", "client unknown", ""):
                provider.fault = fault
                begun = browser.get("/sign-in/start")
                granted = httpx.get(begun.headers["Location"] + "&user=ada", timeout=20)
                answers.append(granted.headers["Location"])
                back = browser.get(granted.headers["Location"])
            assert back.status_code == 303
            secrets = [CLIENT_SECRET, *provider.issued, *browser.cookies.values()]
        assert len(provider.issued) == 2
    for answer in answers:
        parameters = dict(parse_qsl(urlsplit(answer).query))
        secrets += [parameters["code"], parameters["state"]]
    assert "sign_in_succeeded" in page.log.read_text()
    _assert_page_reveals_none(canaries, page, secrets)


def test_a_running_system_reveals_no_secret(canaries: Canaries) -> None:
    secrets = (*SECRETS, canaries.api_key)
    for answer in _answers(canaries):
        assert_absent("an answer", answer, secrets)
    command_lines = [
        " ".join(process.cmdline())
        for process in psutil.Process().children(recursive=True)
        if process.status() != psutil.STATUS_ZOMBIE
    ]
    assert_absent("the command lines", "\n".join(command_lines), secrets)
    for process in canaries.processes:
        assert_absent(f"metrics of {process.name}", process.metrics(), (*secrets, *PRIVATE))
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not any("SELECT" in span.name or "INSERT" in span.name for span in canaries.otlp.spans):
        assert time.monotonic() < deadline, "no span of a statement arrived"
        time.sleep(0.05)
    _stop_database_until_errors_are_logged(canaries)
    for process in canaries.processes:
        process.stop()
    for process in canaries.processes:
        log = process.log.read_text()
        assert '"level": "debug"' in log, "the level is not DEBUG"
        assert_absent(f"the log of {process.name}", log, (*secrets, *PRIVATE))
    assert_absent("the traces", repr(canaries.otlp.spans), (*secrets, *PRIVATE))
