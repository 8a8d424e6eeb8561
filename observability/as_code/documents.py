"""The generated files: each one's path below observability/, and its text."""

import json
from pathlib import Path
from typing import Any

import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from as_code import slos
from as_code.boards import DASHBOARDS

HERE = Path(__file__).resolve().parents[1]
MADE = "# Written by `make observability` from observability/as_code; edit that.\n"


class _Dumper(yaml.SafeDumper):
    """Writes multi-line strings as blocks, so that a query stays readable."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def as_yaml(content: Any) -> str:
    """Return YAML in the given order."""
    text: str = yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=1000)
    return MADE + text


def documents() -> dict[str, str]:
    """Return all files."""
    slo_groups = slos.groups()
    alerts = yaml.safe_load((HERE / "prometheus/rules/alerts.yaml").read_text())
    return {
        "prometheus/rules/slo.yaml": as_yaml({"groups": slo_groups}),
        "operator/prometheus-rule.yaml": as_yaml(_prometheus_rule(slo_groups + alerts["groups"])),
        **{
            f"grafana/dashboards/{dashboard.uid}.json": _as_json(dashboard)
            for dashboard in DASHBOARDS
        },
    }


def _prometheus_rule(groups: list[Any]) -> dict[str, Any]:
    """Return the same rules in the form of the Prometheus Operator."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "payments", "labels": {"app.kubernetes.io/part-of": "payments"}},
        "spec": {"groups": groups},
    }


def _as_json(dashboard: Any) -> str:
    text = JSONEncoder(sort_keys=True, indent=1).encode(dashboard)
    return json.dumps(json.loads(text), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
