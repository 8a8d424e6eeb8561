"""The objects of `kubectl apply -k`, built offline by the kubectl of a pinned wheel."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import combinations, product
from pathlib import Path
from typing import Any

import yaml

from payments_local.settings import REPOSITORY

K8S = REPOSITORY / "deploy" / "k8s"
TOOLS = REPOSITORY / ".cache" / "tools"
SCRATCH = REPOSITORY / ".cache" / "k8s"  # Kustomize takes relative paths only, so not in /tmp.

Object = dict[str, Any]

OVERLAYS = ("local", "observability", "production", "airgap")
# A site uses at most one of each of these ...
EXCLUSIVE = (
    ("generated-secrets", "external-secrets"),
    ("ingress", "gateway"),
    ("monitoring", "observability"),
)
# ... and any of these.
FREE = ("cloudnative-pg", "autoscaling", "keda", "cert-manager")
# The workloads of components/observability: images of other projects, one replica each.
OBSERVING = ("prometheus", "otel-collector", "tempo", "grafana")
# Last in every overlay, because it changes names.
RELEASE_NAMES = "release-names"
# Everything at once, for rules over all objects.
FULLEST = ("generated-secrets", "ingress", "monitoring", *FREE)


def tool(name: str, program: str) -> Path:
    """Return a program of `.cache/tools/NAME`, whose venv make creates if it does not exist."""
    path = TOOLS / name / "bin" / program
    lock_file = REPOSITORY / "deploy" / "tools" / f"{name}.lock"
    stamp = TOOLS / name / ".done"
    if stamp.exists() and stamp.stat().st_mtime >= lock_file.stat().st_mtime:
        return path
    TOOLS.mkdir(parents=True, exist_ok=True)
    # With several pytest processes, one creates it and the others wait.
    with (TOOLS / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = ["make", f".cache/tools/{name}/.done"]
        made = subprocess.run(command, cwd=REPOSITORY, check=False, capture_output=True, text=True)
    assert made.returncode == 0, f"{' '.join(command)} failed: {made.stderr}"
    return path


@lru_cache
def kubectl() -> Path:
    """Return the path of the pinned kubectl."""
    return tool("kubernetes", "kubectl")


def installed_kubectls() -> list[Path]:
    """Return every kubectl beside the one on the PATH: `kubectl` and `kubectl.1.29` alike."""
    found = shutil.which("kubectl")
    if found is None:
        return []
    folder = Path(found).resolve().parent
    return sorted({Path(found), *folder.glob("kubectl.[0-9]*.[0-9]*")})


def build_text(folder: Path, program: Path | None = None) -> str:
    """Return what `kubectl kustomize` prints for the folder. Fail with its error."""
    built = subprocess.run(
        [str(program or kubectl()), "kustomize", str(folder)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        # Keeps it from reading a cluster's settings in the home folder.
        env={"PATH": os.environ.get("PATH", ""), "HOME": str(SCRATCH)},
    )
    assert built.returncode == 0, f"{folder.relative_to(REPOSITORY)}: {built.stderr}"
    assert not built.stderr, f"{folder.relative_to(REPOSITORY)} warns: {built.stderr}"
    return built.stdout


@lru_cache
def build(folder: Path, program: Path | None = None) -> tuple[Object, ...]:
    """Return the folder's objects, by the pinned kubectl or by another one."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return tuple(yaml.load_all(build_text(folder, program), Loader=loader))


def overlay(name: str) -> tuple[Object, ...]:
    """Return the objects of one overlay."""
    return build(K8S / "overlays" / name)


def combination_folder(components: Sequence[str]) -> Path:
    """Return a kustomization of the base and these components, in this order."""
    folder = SCRATCH / ("+".join(components) or "base")
    folder.mkdir(parents=True, exist_ok=True)
    return write_kustomization(
        folder, (components_above(folder) + name for name in (*components, RELEASE_NAMES))
    )


def components_above(folder: Path) -> str:
    """Return the path from the folder to the components, with a slash at its end."""
    return f"{os.path.relpath(K8S, folder)}/components/"


def write_kustomization(folder: Path, components: Iterable[str]) -> Path:
    """Write a kustomization of the base and these components into the folder; return the folder."""
    content = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "payments",
        "resources": [f"{os.path.relpath(K8S, folder)}/base"],
        "components": list(components),
    }
    # Another pytest process may be building this folder: it must not read half of a file.
    written = folder / f"{os.getpid()}.tmp"
    written.write_text(yaml.safe_dump(content))
    written.replace(folder / "kustomization.yaml")
    return folder


def combination(components: Sequence[str]) -> tuple[Object, ...]:
    """Return the objects of the base with these components."""
    return build(combination_folder(components))


def build_all(several: Sequence[Sequence[str]]) -> list[tuple[Object, ...]]:
    """Build combinations in parallel, each in its own process."""
    kubectl()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(combination, several))


def every_combination() -> Iterator[tuple[str, ...]]:
    """Return every combination that a site may choose: 432 of them."""
    chosen = product(*((None, *group) for group in EXCLUSIVE))
    for group, size in product(list(chosen), range(len(FREE) + 1)):
        for free in combinations(FREE, size):
            yield (*(name for name in group if name), *free)


def every_pair() -> Iterator[tuple[str, ...]]:
    """Return the combinations of none, one, every two, and all components in both orders."""
    yield ()
    names = [*(name for group in EXCLUSIVE for name in group), *FREE]
    yield from ((name,) for name in names)
    for pair in combinations(names, 2):
        if pair not in EXCLUSIVE:
            yield pair
    yield FULLEST
    yield FULLEST[::-1]


@dataclass(frozen=True)
class Workload:
    """An object that creates pods, with the parts of its pods."""

    overlay: str
    object: Object

    def __str__(self) -> str:
        return f"{self.overlay}/{self.kind}/{self.name}"

    @property
    def kind(self) -> str:
        """Return Deployment, StatefulSet, Job or CronJob."""
        return str(self.object["kind"])

    @property
    def name(self) -> str:
        """Return the name in its pods' label: a Job's own name contains the release's version."""
        return str(self.object["metadata"]["labels"]["app.kubernetes.io/name"])

    @cached_property
    def template(self) -> Object:
        """Return the pod template."""
        spec = self.object["spec"]
        return dict((spec["jobTemplate"]["spec"] if self.kind == "CronJob" else spec)["template"])

    @property
    def pod(self) -> Object:
        """Return the pod's spec."""
        return dict(self.template["spec"])

    @property
    def container(self) -> Object:
        """Return its only container."""
        (only,) = self.pod["containers"]
        return dict(only)

    @property
    def serves(self) -> bool:
        """Return whether it runs permanently, not to an end."""
        return self.kind in ("Deployment", "StatefulSet")


def workloads(overlay_name: str, objects: Sequence[Object]) -> list[Workload]:
    """Return all workloads among the objects."""
    kinds = ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "ReplicaSet", "Pod")
    return [Workload(overlay_name, item) for item in objects if item["kind"] in kinds]


@lru_cache
def all_workloads() -> tuple[Workload, ...]:
    """Return the workloads of every overlay, and of all components at once."""
    built = {name: overlay(name) for name in OVERLAYS}
    built["everything"] = combination(FULLEST)
    return tuple(found for name, objects in built.items() for found in workloads(name, objects))


def one(objects: Sequence[Object], kind: str, name: str) -> Object:
    """Return the object of that kind and name."""
    (found,) = (
        item for item in objects if item["kind"] == kind and item["metadata"]["name"] == name
    )
    return found
