"""`make check` distinguishes a vulnerability, none, and no answer from the advisory service."""

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from audit_dependencies import ACCEPTED, ServiceUnavailable, accepted_on, audited

LOCK = Path("some.lock")
VULNERABLE = {
    "name": "jinja2",
    "version": "2.10",
    "vulns": [{"id": "PYSEC-2019-217", "aliases": ["CVE-2019-10906"], "fix_versions": ["2.10.1"]}],
}
CLEAN = {"name": "quart", "version": "1.0", "vulns": []}
UNKNOWN = {"name": "quart", "skip_reason": "Dependency not found on PyPI"}


@pytest.fixture
def pip_audit(tmp_path: Path) -> Path:
    """Return a fake pip-audit that prints canary.json for the known release, else lock.json."""
    program = tmp_path / "pip-audit"
    program.write_text(
        "#!/bin/sh\n"
        'case "$*" in *known-vulnerable*) cat "$(dirname "$0")/canary.json" ;;'
        ' *) cat "$(dirname "$0")/lock.json" ;; esac\n'
    )
    program.chmod(0o755)
    return program


def _answers(pip_audit: Path, canary: object, lock: object) -> None:
    for name, package in (("canary", canary), ("lock", lock)):
        answer = json.dumps({"dependencies": [package]}) if package else "could not connect"
        pip_audit.with_name(f"{name}.json").write_text(answer)


def test_a_vulnerable_package_is_named_with_the_fixed_release(pip_audit: Path) -> None:
    _answers(pip_audit, VULNERABLE, VULNERABLE)
    report = audited(str(pip_audit), [LOCK], ())
    assert report.vulnerable == {"jinja2 2.10: PYSEC-2019-217, fixed in 2.10.1"}


def test_packages_without_advisories_are_counted(pip_audit: Path) -> None:
    _answers(pip_audit, VULNERABLE, CLEAN)
    report = audited(str(pip_audit), [LOCK, LOCK], ())
    assert (report.looked_up, report.vulnerable, report.unknown) == (2, set(), set())


def test_a_package_without_a_lookup_result_is_named(pip_audit: Path) -> None:
    _answers(pip_audit, VULNERABLE, UNKNOWN)
    assert audited(str(pip_audit), [LOCK], ()).unknown == {"quart"}


@pytest.mark.parametrize("canary", [CLEAN, UNKNOWN, None], ids=["clean", "unknown", "offline"])
def test_a_service_that_misses_the_known_vulnerability_is_distrusted(
    pip_audit: Path, canary: object
) -> None:
    _answers(pip_audit, canary, CLEAN)
    with pytest.raises(ServiceUnavailable):
        audited(str(pip_audit), [LOCK], ())


@pytest.mark.parametrize("name", ["PYSEC-2019-217", "CVE-2019-10906"])
def test_an_accepted_advisory_is_ignored_until_its_expiry(pip_audit: Path, name: str) -> None:
    _answers(pip_audit, VULNERABLE, VULNERABLE)
    text = f'[[accepted]]\nid = "{name}"\nreason = "no templates of others"\nuntil = 2026-01-31'
    for day, found in ((31, 0), (1, 0)):
        accepted = accepted_on(date(2026, 1, day), text)
        assert len(audited(str(pip_audit), [LOCK], accepted).vulnerable) == found
    assert accepted_on(date(2026, 2, 1), text) == {}


def test_every_accepted_advisory_has_a_reason() -> None:
    for reason in accepted_on(datetime.now(UTC).date(), ACCEPTED.read_text()).values():
        assert len(reason) > 20
