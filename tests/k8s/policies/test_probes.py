"""Probes: a start has time, only a hung process is restarted, no traffic reaches them."""

import json
import re

from testkit.deployments.k8s_manifests import (
    OBSERVING,
    Object,
    Workload,
)

from .conftest import every_server, every_service_of_ours, objects_of


def seconds_inside(probe: Object) -> int:
    """Return the seconds that a probe's own command waits, 0 for a request."""
    command = " ".join(probe.get("exec", {}).get("command", []))
    waits = re.search(r"payments_core\.http\.healthcheck \w+ (\d+)$|in \$\(seq (\d+)\)", command)
    return int(waits[1] or waits[2]) if waits else 0


def seconds_to_start(startup: Object) -> float:
    each = max(int(startup["periodSeconds"]), seconds_inside(startup))
    return float(startup.get("initialDelaySeconds", 0) + each * startup["failureThreshold"])


@every_server
def test_a_healthy_start_fails_no_startup_probe(workload: Workload) -> None:
    """A failed probe is a Warning event: the probe waits, in its command or before its request."""
    startup = workload.container["startupProbe"]
    if workload.name in OBSERVING:  # Images without a command that could wait.
        assert 5 <= startup["initialDelaySeconds"] <= 30
        return
    # The whole first start takes about 30 s; the command ends before its timeout.
    assert seconds_inside(startup) >= 45
    assert startup["timeoutSeconds"] >= seconds_inside(startup) + 8
    assert startup["periodSeconds"] <= 2  # The first one starts so long after the container.
    # Rolled back to images whose command ignores the wait, a service still has time to start.
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 40
    assert "initialDelaySeconds" not in startup, "it would delay a start that is quicker"


@every_server
def test_a_server_has_three_probes_within_bounds(workload: Workload) -> None:
    startup, live, ready = (
        workload.container[f"{name}Probe"] for name in ("startup", "liveness", "readiness")
    )
    for probe in (live, ready):
        assert 3 <= probe["timeoutSeconds"] <= 10, probe
        assert probe["periodSeconds"] <= 10, probe
    # At least a minute to start, and at least half a minute without an answer before a restart.
    assert seconds_to_start(startup) >= 60
    assert live["periodSeconds"] * live["failureThreshold"] >= 30
    # The pod leaves the Service before it is restarted.
    out = ready["periodSeconds"] * ready["failureThreshold"]
    assert out < live["periodSeconds"] * live["failureThreshold"]


@every_service_of_ours
def test_services_start_once_ready_and_the_api_stays_ready(workload: Workload) -> None:
    """A running API answers 503 with Retry-After, which needs endpoints (decision 0032)."""
    prefix = workload.name.replace("-", "_").upper()
    startup = workload.container["startupProbe"]["exec"]["command"]
    # The startup probe requests /readyz.
    assert startup[:-1] == ["python", "-m", "payments_core.http.healthcheck", prefix]
    assert seconds_to_start(workload.container["startupProbe"]) >= 600
    assert workload.container["livenessProbe"]["httpGet"]["path"] == "/livez"
    ready = workload.container["readinessProbe"]["httpGet"]["path"]
    assert ready == ("/livez" if workload.name == "payments-api" else "/readyz")


@every_service_of_ours
def test_only_a_hung_process_is_restarted(workload: Workload) -> None:
    """An overloaded process answers late, but within two minutes."""
    live = workload.container["livenessProbe"]
    assert live["timeoutSeconds"] == 10
    assert live["periodSeconds"] * live["failureThreshold"] >= 120


@every_service_of_ours
def test_probes_and_metrics_use_an_unrouted_port(workload: Workload) -> None:
    ports = {port["name"]: port["containerPort"] for port in workload.container["ports"]}
    control = ports["control"]
    for name in ("liveness", "readiness"):
        assert workload.container[f"{name}Probe"]["httpGet"]["port"] == "control"
    assert workload.template["metadata"]["annotations"]["prometheus.io/port"] == str(control)
    settings = {each["name"]: each.get("value") for each in workload.container["env"]}
    variable = f"{workload.name}_CONTROL_PORT".replace("-", "_").upper()
    # The worker has no other port.
    assert settings.get(variable) == (str(control) if "http" in ports else None)
    routes = json.dumps(
        [item for item in objects_of(workload) if item["kind"] in ("Ingress", "HTTPRoute")]
    )
    assert "control" not in routes
    assert str(control) not in routes
