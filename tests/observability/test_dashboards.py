"""Grafana's files: valid by its schema, complete, and equal to the generated ones."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from payments_local.settings import REPOSITORY
from testkit.observability.prometheus_server import OBSERVABILITY

PATHS = sorted((OBSERVABILITY / "grafana/dashboards").glob("*.json"))


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    """Return the path of each dashboard."""
    found: Path = request.param
    return found


def compose_services() -> dict[str, Any]:
    """Return the services in compose's profile `observability`."""
    text = (REPOSITORY / "deploy/compose/observability.yaml").read_text()
    services: dict[str, Any] = yaml.safe_load(text)["services"]
    return services


def test_a_dashboard_is_valid_by_grafanas_schema(path: Path) -> None:
    given = json.loads(path.read_text())
    read = Dashboard.from_json(given)
    assert json.loads(JSONEncoder(sort_keys=True).encode(read)) == given


def test_panels_have_a_title_a_description_a_unit_and_no_overlap(path: Path) -> None:
    board = json.loads(path.read_text())
    ids: set[int] = set()
    places: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        assert panel["id"] not in ids
        ids.add(panel["id"])
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & places, f"{panel['title']} overlaps another panel"
        assert place["x"] + place["w"] <= 24
        places |= cells
        if panel["type"] == "row":
            continue
        assert len(panel["description"]) > 10, panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]


def test_panels_and_exemplars_use_provisioned_data_sources(path: Path) -> None:
    provisioned = yaml.safe_load(
        (OBSERVABILITY / "grafana/provisioning/datasources/datasources.yaml").read_text()
    )["datasources"]
    uids = {source["uid"] for source in provisioned}
    for panel in json.loads(path.read_text())["panels"]:
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] in uids
            assert all(target["datasource"]["uid"] in uids for target in panel["targets"])
    for source in provisioned:
        for exemplar in source["jsonData"].get("exemplarTraceIdDestinations", ()):
            assert exemplar["datasourceUid"] in uids


def test_every_query_names_the_provisioned_prometheus_by_type_and_uid(path: Path) -> None:
    """These references are known to work in a real Grafana."""
    for panel in json.loads(path.read_text())["panels"]:
        if panel["type"] != "row":
            references = [panel["datasource"], *(t["datasource"] for t in panel["targets"])]
            assert all(r == {"type": "prometheus", "uid": "prometheus"} for r in references)


def test_grafanas_data_sources_are_services_of_compose() -> None:
    services = compose_services()
    provisioning = OBSERVABILITY / "grafana/provisioning"
    sources = yaml.safe_load((provisioning / "datasources/datasources.yaml").read_text())
    assert [(s["type"], s["uid"], s["url"]) for s in sources["datasources"]] == [
        ("prometheus", "prometheus", "http://prometheus:9090"),
        ("tempo", "tempo", "http://tempo:3200"),
    ]
    assert {"prometheus", "tempo"} <= services.keys()
    (provider,) = yaml.safe_load((provisioning / "dashboards/dashboards.yaml").read_text())[
        "providers"
    ]
    mounts = dict(v.split(":")[1::-1] for v in services["grafana"]["volumes"] if ":ro" in v)
    assert mounts[provider["options"]["path"]] == "./observability/grafana/dashboards"
    assert mounts["/etc/grafana/provisioning"] == "./observability/grafana/provisioning"
    (home,) = (
        line.partition("=")[2]
        for line in (OBSERVABILITY / "grafana/grafana.env").read_text().splitlines()
        if line.startswith("GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH=")
    )
    assert Path(home).parent == Path(provider["options"]["path"])
    assert Path(home).name in {path.name for path in PATHS}


def test_services_send_traces_to_composes_collector_by_default() -> None:
    text = (REPOSITORY / "deploy/compose/compose.yaml").read_text()
    (endpoint,) = re.findall(r"\$\{OTEL_EXPORTER_OTLP_ENDPOINT:-http://([a-z-]+):4318\}", text)
    assert endpoint in compose_services()


def test_the_release_tile_shows_the_version_instead_of_a_count() -> None:
    board = json.loads((OBSERVABILITY / "grafana/dashboards/payments-api.json").read_text())
    (tile,) = (panel for panel in board["panels"] if panel["title"] == "Release")
    assert tile["options"]["textMode"] == "name"
    assert [target["legendFormat"] for target in tile["targets"]] == ["{{version}}"]


def test_latency_panels_show_exemplars() -> None:
    shown = {
        target["expr"].split("(rate(")[1].split("_bucket")[0]
        for path in PATHS
        for panel in json.loads(path.read_text())["panels"]
        for target in panel.get("targets", ())
        if target["exemplar"]
    }
    assert shown == {"http_server_request_duration_seconds", "payments_settle_duration_seconds"}


def test_the_files_equal_the_generated_ones() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "as_code", "--check"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_the_collector_forwards_traces_to_the_trace_store() -> None:
    """The collector's binary is not available here, so the test follows its configuration."""
    config = yaml.safe_load((OBSERVABILITY / "collector/collector.yaml").read_text())
    traces = config["service"]["pipelines"]["traces"]
    for kind in ("receivers", "processors", "exporters"):
        assert set(traces[kind]) <= set(config[kind]), kind
    assert traces["processors"][0] == "memory_limiter"
    ports = {
        protocol["endpoint"].rpartition(":")[2]
        for protocol in config["receivers"]["otlp"]["protocols"].values()
    }
    assert ports == {"4317", "4318"}
    tempo = yaml.safe_load((OBSERVABILITY / "tempo/tempo.yaml").read_text())
    taken = tempo["distributor"]["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"]
    assert config["exporters"]["otlp/tempo"]["endpoint"] == f"tempo:{taken.rpartition(':')[2]}"


CODE, ITALIC = re.compile(r"`[^`]*`"), re.compile(r"(?<!\*)\*([^*\n]+)\*(?!\*)")
# Names in runbooks that are not on a dashboard: of the page, of Prometheus, of other texts.
ELSEWHERE = {
    *("Adjustments to approve", "Operate", "Statements", "This page's key is not accepted"),
    *("BurnsFast", "BurnsSlowly", "Targets", "Try again", "page", "ticket", "waiting"),
}


def test_runbooks_name_dashboards_and_panels_by_their_titles() -> None:
    titles = {title for path in PATHS for title in _titles(json.loads(path.read_text()))}
    for runbook in sorted((REPOSITORY / "docs/runbooks").glob("*.md")):
        named = ITALIC.findall(CODE.sub("", runbook.read_text()))
        assert set(named) <= titles | ELSEWHERE, runbook.name


def _titles(part: dict[str, Any]) -> list[str]:
    return [part.get("title", ""), *(t for panel in part.get("panels", []) for t in _titles(panel))]
