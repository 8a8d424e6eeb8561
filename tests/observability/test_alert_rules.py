"""The rules match the runbooks, and promtool proves when each alert fires."""

import subprocess
from pathlib import Path

import pytest
import yaml

from testkit.observability.prometheus_server import OBSERVABILITY, require

ROOT = OBSERVABILITY.parent
RULES = sorted((OBSERVABILITY / "prometheus/rules").glob("*.yaml"))
TESTS = sorted((OBSERVABILITY / "prometheus/tests").glob("*.yaml"))


def alerts() -> list[dict[str, dict[str, str]]]:
    """Return every alerting rule."""
    groups = [g for path in RULES for g in yaml.safe_load(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_only_then(path: Path) -> None:
    done = subprocess.run(
        [require("promtool"), "test", "rules", str(path)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_and_configuration_pass_promtool() -> None:
    promtool = require("promtool")
    config = str(OBSERVABILITY / "prometheus/prometheus.yaml")
    for command in (
        [promtool, "check", "rules", "--lint=all", "--lint-fatal", *map(str, RULES)],
        [promtool, "check", "config", config],
    ):
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_firing_and_a_silent_case() -> None:
    fires: set[str] = set()
    does_not: set[str] = set()
    for path in TESTS:
        for case in yaml.safe_load(path.read_text())["tests"]:
            for expected in case["alert_rule_test"]:
                (fires if expected["exp_alerts"] else does_not).add(expected["alertname"])
    names = {str(rule["alert"]) for rule in alerts()}
    assert fires == names
    assert does_not == names


def test_every_alert_has_a_severity_and_a_complete_runbook() -> None:
    for rule in alerts():
        assert rule["labels"]["severity"] in ("page", "ticket"), rule["alert"]
        runbook = ROOT / rule["annotations"]["runbook"]
        text = runbook.read_text()
        assert str(rule["alert"]) in text, f"{runbook.name} does not name {rule['alert']}"
        for part in ("## What it means", "## Look", "## Act"):
            assert part in text, f"{runbook.name} has no {part}"
