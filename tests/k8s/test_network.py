"""Network policies: both ends of each connection allow it, and the docs' table lists it."""

import re
from dataclasses import dataclass

from payments_local.settings import REPOSITORY
from testkit.deployments.k8s_manifests import (
    EXCLUSIVE,
    FREE,
    FULLEST,
    OVERLAYS,
    Object,
    combination,
    overlay,
)

# How pods are called that are not ours, or whose labels an operator makes.
NAMES = {
    ("kubernetes.io/metadata.name", "kube-system"): "DNS",
    ("kubernetes.io/metadata.name", "cnpg-system"): "CloudNativePG",
    ("kubernetes.io/metadata.name", "keda"): "KEDA",
    ("kubernetes.io/metadata.name", "ingress-nginx"): "ingress-nginx",
    ("kubernetes.io/metadata.name", "envoy-gateway-system"): "gateway",
    ("app.kubernetes.io/component", "database"): "database",
    ("cnpg.io/cluster", "payments-db"): "payments-db",
    ("cnpg.io/poolerName", "payments-db-pooler"): "payments-db-pooler",
    ("acme.cert-manager.io/http01-solver", "true"): "acme-challenge",
}
# Those in the namespace `monitoring`; components/observability has pods of the same names.
OF_MONITORING = {"prometheus": "Prometheus", "opentelemetry-collector": "collector"}
OUTSIDE = {"DNS", "Prometheus", "collector", "CloudNativePG", "KEDA", "ingress-nginx", "gateway"}
ANYWHERE = "anywhere"  # An address that each site has its own.
CONTROL_PORTS = {"payments-api": 3011, "recon-worker": 3002, "payments-ui": 3010}
ALL_DNS_CLIENTS = "all but postgres"


@dataclass(frozen=True, order=True)
class Arrow:
    """One direction of opening a connection."""

    source: str
    target: str
    port: int
    protocol: str = "TCP"


def names_of(selector: Object) -> list[str]:
    """The pods that a selector takes, by the names used in docs/operations/network.md."""
    labels = list(selector.get("matchLabels", {}).items())
    for expression in selector.get("matchExpressions", []):
        if expression["operator"] == "NotIn":
            assert expression["values"] == ["postgres"]
            return [ALL_DNS_CLIENTS]
        return [NAMES.get((expression["key"], v), v) for v in expression["values"]]
    ((key, value),) = labels
    return [NAMES.get((key, value), value)]


def peer_names(peer: Object) -> list[str]:
    assert "ipBlock" not in peer
    namespace = peer.get("namespaceSelector")
    if namespace is None:
        return names_of(peer["podSelector"])
    assert peer["podSelector"]["matchLabels"], "a whole namespace is more than one arrow"
    (label,) = namespace["matchLabels"].items()
    if label in NAMES:
        return [NAMES[label]]
    if label == ("kubernetes.io/metadata.name", "monitoring"):
        return [OF_MONITORING[name] for name in names_of(peer["podSelector"])]
    return names_of(peer["podSelector"])


def arrows_of(policy: Object) -> tuple[set[Arrow], set[Arrow]]:
    """The arrows that a policy lets out of its pods, and into them."""
    spec = policy["spec"]
    out: set[Arrow] = set()
    into: set[Arrow] = set()
    for own in names_of(spec["podSelector"]) if spec["podSelector"] else []:
        for direction, found in (("egress", out), ("ingress", into)):
            for rule in spec.get(direction, []):
                peers = rule.get("to", rule.get("from"))
                others = [n for p in peers for n in peer_names(p)] if peers else [ANYWHERE]
                for port in rule["ports"]:
                    number = CONTROL_PORTS[own] if port["port"] == "control" else port["port"]
                    for other in others:
                        ends = (own, other) if direction == "egress" else (other, own)
                        found.add(Arrow(*ends, number, port["protocol"]))
    return out, into


def arrows(objects: tuple[Object, ...]) -> tuple[set[Arrow], set[Arrow]]:
    """All that may leave a pod of ours, all that may enter one."""
    policies = [item for item in objects if item["kind"] == "NetworkPolicy"]
    out: set[Arrow] = set()
    into: set[Arrow] = set()
    for policy in policies:
        left, entered = arrows_of(policy)
        out |= left
        into |= entered
    # KEDA's policy names the database by what it is, whichever it is.
    databases = {"payments-db"} if any(a.target == "payments-db" for a in into) else {"postgres"}
    into |= {Arrow(a.source, d, a.port) for a in into if a.target == "database" for d in databases}
    return out, {arrow for arrow in into if arrow.target != "database"}


def table() -> dict[str, set[Arrow]]:
    """The arrows of docs/operations/network.md by component, "base" among them."""
    found: dict[str, set[Arrow]] = {}
    for line in (REPOSITORY / "docs/operations/network.md").read_text().splitlines():
        cells = [cell.strip(" `") for cell in line.strip().strip("|").split("|")]
        if len(cells) == 5 and re.fullmatch(r"\d+ (TCP|UDP)", cells[2]):
            port, protocol = cells[2].split()
            for component in cells[3].split(", "):
                arrow = Arrow(cells[0], cells[1], int(port), protocol)
                found.setdefault(component.strip("`"), set()).add(arrow)
    return found


def test_everything_is_denied_first() -> None:
    for name in OVERLAYS:
        (deny,) = (
            item
            for item in overlay(name)
            if item["kind"] == "NetworkPolicy" and item["metadata"]["name"] == "default-deny"
        )
        assert deny["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_an_arrow_is_open_at_both_ends() -> None:
    for components in ((), FULLEST, ("gateway", "observability")):
        out, into = arrows(combination(components))
        inside = {a for a in out if a.target not in OUTSIDE | {ANYWHERE}}
        entering = {a for a in into if a.source not in OUTSIDE}
        assert inside == entering, components


def test_the_docs_table_is_what_the_manifests_allow() -> None:
    written = table()
    without_any = set().union(*arrows(combination(())))
    assert without_any == written["base"]
    names = [name for group in EXCLUSIVE for name in group] + list(FREE)
    for name in names:
        allowed = set().union(*arrows(combination((name,))))
        if name == "cloudnative-pg":
            assert allowed - without_any == written[name]
            gone = {a for a in without_any if "postgres" in (a.source, a.target)}
            assert without_any - allowed == gone
        elif name == "observability":
            assert allowed - without_any == written[name]
            gone = {a for a in without_any if {"Prometheus", "collector"} & {a.source, a.target}}
            assert without_any - allowed == gone
        else:
            assert allowed - without_any == written.get(name, set()), name
            assert without_any <= allowed


def test_the_api_is_reached_by_the_page_and_prometheus_alone() -> None:
    for name in OVERLAYS:
        _, into = arrows(overlay(name))
        prometheus = "prometheus" if name == "observability" else "Prometheus"
        sources = {a.source for a in into if a.target == "payments-api"}
        assert sources == {"payments-ui", prometheus}


def test_only_the_page_has_a_way_in_from_outside() -> None:
    for components in (FULLEST, ("gateway",)):
        objects = combination(components)
        exposed = [item for item in objects if item["kind"] in ("Ingress", "HTTPRoute")]
        assert exposed
        for item in exposed:
            assert "payments-ui" in str(item["spec"])
            assert "payments-api" not in str(item["spec"])
            assert "recon-worker" not in str(item["spec"])
        services = [item for item in objects if item["kind"] == "Service"]
        assert {item["spec"].get("type", "ClusterIP") for item in services} == {"ClusterIP"}


def test_a_policy_selects_pods_that_exist() -> None:
    """A policy for a label that no pod has would allow nothing."""
    for components in ((), FULLEST, ("observability",)):
        objects = combination(components)
        carried = {
            item["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"]
            for item in objects
            if item["kind"] in ("Deployment", "StatefulSet", "Job")
        } | {"audit", "seal-audit", "payments-db", "payments-db-pooler", "acme-challenge"}
        for arrow in set().union(*arrows(objects)):
            for end in (arrow.source, arrow.target):
                assert end in carried | OUTSIDE | {ANYWHERE, ALL_DNS_CLIENTS}, arrow
