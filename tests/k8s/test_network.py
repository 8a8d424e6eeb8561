"""Network policies: both ends of each connection allow it, and the docs' table lists it."""

import re
from dataclasses import dataclass

from payments_core.webhooks.destination import GLOBAL_UNICAST, HTTPS_PORT, REFUSED_NETWORKS
from payments_local.settings import REPOSITORY
from testkit.deployments.k8s_manifests import (
    EXCLUSIVE,
    FREE,
    FULLEST,
    K8S,
    OVERLAYS,
    Object,
    build,
    combination,
    overlay,
)

# Names for pods of other projects, and for pods whose labels an operator creates.
NAMES = {
    ("kubernetes.io/metadata.name", "kube-system"): "DNS",
    ("kubernetes.io/metadata.name", "cnpg-system"): "CloudNativePG",
    ("kubernetes.io/metadata.name", "keda"): "KEDA",
    ("kubernetes.io/metadata.name", "ingress-nginx"): "ingress-nginx",
    ("kubernetes.io/metadata.name", "envoy-gateway-system"): "gateway",
    ("app.kubernetes.io/component", "database"): "database",
    ("cnpg.io/cluster", "payments-db"): "payments-db",
    ("cnpg.io/cluster", "payments-db-restored"): "payments-db-restored",
    ("cnpg.io/poolerName", "payments-db-pooler"): "payments-db-pooler",
    ("acme.cert-manager.io/http01-solver", "true"): "acme-challenge",
}
# Pods in the namespace `monitoring`; components/observability has pods of the same names.
OF_MONITORING = {"prometheus": "Prometheus", "opentelemetry-collector": "collector"}
INTERNET = "internet"
OUTSIDE = {
    INTERNET,
    "DNS",
    "Prometheus",
    "collector",
    "CloudNativePG",
    "KEDA",
    "ingress-nginx",
    "gateway",
}
ANYWHERE = "anywhere"  # An address that differs for each site.
CONTROL_PORTS = {"payments-api": 3011, "recon-worker": 3002, "payments-ui": 3010}
ALL_DNS_CLIENTS = "all but postgres"


@dataclass(frozen=True, order=True)
class Connection:
    """A connection that one pod opens to another."""

    source: str
    target: str
    port: int
    protocol: str = "TCP"


def names_of(selector: Object) -> list[str]:
    """Return the pods that a selector matches, by their names in docs/operations/network.md."""
    labels = list(selector.get("matchLabels", {}).items())
    for expression in selector.get("matchExpressions", []):
        if expression["operator"] == "NotIn":
            assert expression["values"] == ["postgres"]
            return [ALL_DNS_CLIENTS]
        return [NAMES.get((expression["key"], v), v) for v in expression["values"]]
    ((key, value),) = labels
    return [NAMES.get((key, value), value)]


def peer_names(peer: Object) -> list[str]:
    if "ipBlock" in peer:
        return [INTERNET]
    namespace = peer.get("namespaceSelector")
    if namespace is None:
        return names_of(peer["podSelector"])
    assert peer["podSelector"]["matchLabels"], "a whole namespace is more than one connection"
    (label,) = namespace["matchLabels"].items()
    if label in NAMES:
        return [NAMES[label]]
    if label == ("kubernetes.io/metadata.name", "monitoring"):
        return [OF_MONITORING[name] for name in names_of(peer["podSelector"])]
    return names_of(peer["podSelector"])


def connections_of(policy: Object) -> tuple[set[Connection], set[Connection]]:
    """Return the connections that a policy allows from its pods, and those to them."""
    spec = policy["spec"]
    out: set[Connection] = set()
    into: set[Connection] = set()
    for own in names_of(spec["podSelector"]) if spec["podSelector"] else []:
        for direction, found in (("egress", out), ("ingress", into)):
            for rule in spec.get(direction, []):
                peers = rule.get("to", rule.get("from"))
                others = [n for p in peers for n in peer_names(p)] if peers else [ANYWHERE]
                for port in rule["ports"]:
                    number = CONTROL_PORTS[own] if port["port"] == "control" else port["port"]
                    for other in others:
                        ends = (own, other) if direction == "egress" else (other, own)
                        found.add(Connection(*ends, number, port["protocol"]))
    return out, into


def connections(objects: tuple[Object, ...]) -> tuple[set[Connection], set[Connection]]:
    """Return all connections allowed from our pods, and all allowed to them."""
    policies = [item for item in objects if item["kind"] == "NetworkPolicy"]
    out: set[Connection] = set()
    into: set[Connection] = set()
    for policy in policies:
        left, entered = connections_of(policy)
        out |= left
        into |= entered
    # KEDA's policy selects the database by its component label.
    databases = {"payments-db"} if any(a.target == "payments-db" for a in into) else {"postgres"}
    into |= {
        Connection(a.source, d, a.port) for a in into if a.target == "database" for d in databases
    }
    return out, {connection for connection in into if connection.target != "database"}


def table() -> dict[str, set[Connection]]:
    """Return the connections in docs/operations/network.md by component, including "base"."""
    found: dict[str, set[Connection]] = {}
    for line in (REPOSITORY / "docs/operations/network.md").read_text().splitlines():
        cells = [cell.strip(" `") for cell in line.strip().strip("|").split("|")]
        if len(cells) == 5 and re.fullmatch(r"\d+ (TCP|UDP)", cells[2]):
            port, protocol = cells[2].split()
            for component in cells[3].split(", "):
                connection = Connection(cells[0], cells[1], int(port), protocol)
                found.setdefault(component.strip("`"), set()).add(connection)
    return found


def test_everything_is_denied_first() -> None:
    for name in OVERLAYS:
        (deny,) = (
            item
            for item in overlay(name)
            if item["kind"] == "NetworkPolicy" and item["metadata"]["name"] == "default-deny"
        )
        assert deny["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_both_ends_allow_a_connection() -> None:
    for components in ((), FULLEST, ("gateway", "observability")):
        out, into = connections(combination(components))
        inside = {a for a in out if a.target not in OUTSIDE | {ANYWHERE}}
        entering = {a for a in into if a.source not in OUTSIDE}
        assert inside == entering, components


def test_the_docs_table_equals_the_allowed_connections() -> None:
    written = table()
    without_any = set().union(*connections(combination(())))
    assert without_any == written["base"]
    names = [name for group in EXCLUSIVE for name in group] + list(FREE)
    for name in names:
        allowed = set().union(*connections(combination((name,))))
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


def test_a_restored_cluster_reaches_its_replicas() -> None:
    """Its own kustomization, beside the first cluster."""
    out, into = connections(build(K8S / "components/cloudnative-pg/restore"))
    written = table()["restore"]
    assert out | into == written
    inside = {a for a in out if a.target not in OUTSIDE | {ANYWHERE}}
    assert inside == {a for a in into if a.source not in OUTSIDE}
    own = "payments-db-restored"
    assert inside == {Connection(own, own, 5432), Connection(own, own, 8000)}


def test_the_egress_for_webhooks_excludes_every_blocked_network() -> None:
    for name in OVERLAYS:
        (policy,) = (
            item
            for item in overlay(name)
            if item["kind"] == "NetworkPolicy" and item["metadata"]["name"] == "webhooks"
        )
        (rule,) = policy["spec"]["egress"]
        assert rule["ports"] == [{"port": HTTPS_PORT, "protocol": "TCP"}]
        blocks = {peer["ipBlock"]["cidr"]: set(peer["ipBlock"]["except"]) for peer in rule["to"]}
        assert blocks == {
            cidr: {str(network) for network in REFUSED_NETWORKS if network.version == version}
            for version, cidr in ((4, "0.0.0.0/0"), (6, str(GLOBAL_UNICAST)))
        }


def test_only_the_page_and_prometheus_reach_the_api() -> None:
    for name in OVERLAYS:
        _, into = connections(overlay(name))
        prometheus = "prometheus" if name == "observability" else "Prometheus"
        sources = {a.source for a in into if a.target == "payments-api"}
        assert sources == {"payments-ui", prometheus}


def test_only_the_page_is_reachable_from_outside() -> None:
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


def test_a_policy_selects_existing_pods() -> None:
    """A policy that selects no pod would have no effect."""
    for components in ((), FULLEST, ("observability",)):
        objects = combination(components)
        carried = {
            item["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"]
            for item in objects
            if item["kind"] in ("Deployment", "StatefulSet", "Job")
        } | {"audit", "seal-audit", "backup", "payments-db", "payments-db-pooler", "acme-challenge"}
        for connection in set().union(*connections(objects)):
            for end in (connection.source, connection.target):
                assert end in carried | OUTSIDE | {ANYWHERE, ALL_DNS_CLIENTS}, connection
