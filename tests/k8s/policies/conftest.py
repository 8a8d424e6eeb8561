"""The workloads of all manifests, and what belongs to each."""

import re

import pytest

from testkit.deployments.k8s_manifests import (
    FULLEST,
    OVERLAYS,
    Object,
    Workload,
    all_workloads,
    combination,
    overlay,
)

ALL = all_workloads()
SERVING = [workload for workload in ALL if workload.serves]
OURS = [w for w in SERVING if w.name in ("payments-api", "recon-worker", "payments-ui")]


def objects_of(workload: Workload) -> tuple[Object, ...]:
    in_overlay = workload.overlay in OVERLAYS
    return overlay(workload.overlay) if in_overlay else combination(FULLEST)


def quantity(text: str | int) -> float:
    """Convert Kubernetes' "250m", "1Gi" or "2" into a number of cores or bytes."""
    match = re.fullmatch(r"([0-9.]+)(m|Ki|Mi|Gi|Ti)?", str(text))
    assert match, text
    factor = {None: 1, "m": 1e-3, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}[match[2]]
    return float(match[1]) * factor


every_workload = pytest.mark.parametrize("workload", ALL, ids=str)
every_server = pytest.mark.parametrize("workload", SERVING, ids=str)
every_service_of_ours = pytest.mark.parametrize("workload", OURS, ids=str)
