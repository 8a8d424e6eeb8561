"""Names of a real name server, connections to real addresses: no answer of DNS leads inside."""

import os
import shutil
import subprocess
from typing import Any

import pytest

from testkit.network.closed_network import HOST, OWN_NAMESPACES, PUBLIC, in_closed_network

REFUSED = "The URL's host is not on the internet."


def _missing() -> str | None:
    """Return what this machine lacks for a network of the test's own."""
    for tool in ("unshare", "ip", "openssl"):
        if shutil.which(tool) is None:
            return f"there is no {tool} here"
    if subprocess.run([*OWN_NAMESPACES, "true"], capture_output=True, check=False).returncode:
        return "this machine permits no namespaces"
    return None


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    if (reason := _missing()) is not None:
        if "namespaces" in os.environ.get("REQUIRE", "").split(","):
            pytest.fail(f"REQUIRE=namespaces, and {reason}")
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("network")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", f"/CN={HOST}"),
            *("-addext", f"subjectAltName=DNS:*.{HOST}"),
            *("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")),
        ],
        check=True,
        capture_output=True,
    )
    return in_closed_network(folder)


def test_a_public_name_is_reached_at_its_address(found: dict[str, Any]) -> None:
    assert found["public"] == {"outcomes": [200, 200], "reached": [PUBLIC]}


@pytest.mark.parametrize(
    "scenario",
    [
        *("private", "one-of-several", "another-family", "mapped", "translated", "zero"),
        *("zero-in-six", "metadata", "link-local", "unique-local", "chain"),
    ],
)
def test_a_name_that_leads_inside_is_refused_without_a_connection(
    found: dict[str, Any], scenario: str
) -> None:
    assert found[scenario] == {"outcomes": [REFUSED, REFUSED], "reached": []}


def test_a_name_that_changes_between_check_and_connection_is_reached_where_it_was_checked(
    found: dict[str, Any],
) -> None:
    assert found["rebinding"] == {"outcomes": [200, REFUSED], "reached": [PUBLIC]}


def test_a_redirect_into_the_network_is_an_answer(found: dict[str, Any]) -> None:
    assert found["redirecting"] == {"outcomes": [302, 302], "reached": [PUBLIC]}


@pytest.mark.parametrize("scenario", ["loop", "failing", "truncated", "silent", "garbage"])
def test_a_name_server_that_fails_or_lies_makes_a_failed_attempt(
    found: dict[str, Any], scenario: str
) -> None:
    assert found[scenario]["reached"] == []
    assert all("gaierror" in outcome for outcome in found[scenario]["outcomes"])


def test_a_receiver_that_never_begins_tls_costs_its_deadline(found: dict[str, Any]) -> None:
    assert found["mute"]["outcomes"] == ["ConnectionError: no connection within 0.5 s"] * 2
