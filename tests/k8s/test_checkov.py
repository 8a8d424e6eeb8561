"""Checkov's rules for Kubernetes over all manifests; each exception states its reason here."""

import json
import os
import subprocess
from pathlib import Path

from testkit.deployments.k8s_manifests import FULLEST, K8S, build_text, combination_folder, tool

# Check and resource, as checkov prints them without the namespace, and the reason for the
# exception.
EXCEPTIONS = {
    ("CKV_K8S_40", "StatefulSet.postgres"): "999 is the user that the official image makes",
    ("CKV_K8S_40", "CronJob.backup"): "the same image",
    ("CKV_K8S_40", "Deployment.grafana"): "472 is the user that the official image makes",
    ("CKV_K8S_35", "Deployment.payments-ui"): "its signing key is read from the environment only;"
    " it opens nothing but the page's own cookies",
}
# Checks that our images fail in every workload, and the reasons.
OF_OUR_IMAGES = {
    "CKV_K8S_15": "a tag is never moved, so what is on the node is what was asked for; Always would"
    " make a registry's outage one of ours, and kind's loaded images unusable",
    "CKV_K8S_43": "a digest exists once a release is built: its pipeline writes it into"
    " overlays/*/release, and these files stand for all releases",
}


def failures(folder: Path) -> tuple[int, set[tuple[str, str]]]:
    """Return the number of passed checks, and the failed ones with their resources."""
    checkov = tool("checkov", "checkov")
    command = [str(checkov), "--directory", str(folder), "--framework", "kubernetes"]
    command += ["--skip-download", "--compact", "--quiet", "--output", "json"]
    run = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "BC_SKIP_MAPPING": "TRUE", "LOG_LEVEL": "ERROR"},
        check=False,
    )
    report = json.loads(run.stdout)
    assert report["summary"]["parsing_errors"] == 0
    failed = {
        (check["check_id"], check["resource"].replace(".payments.", ".", 1))
        for check in report["results"]["failed_checks"]
    }
    return int(report["summary"]["passed"]), failed


def test_checkov_finds_only_the_listed_exceptions(tmp_path: Path) -> None:
    (tmp_path / "production.yaml").write_text(build_text(K8S / "overlays" / "production"))
    (tmp_path / "everything.yaml").write_text(build_text(combination_folder((*FULLEST, "gateway"))))
    for name in ("local", "observability"):
        (tmp_path / f"{name}.yaml").write_text(build_text(K8S / "overlays" / name))
    passed, failed = failures(tmp_path)
    assert passed > 900, "too few checks ran"
    unexplained = {
        (check, resource)
        for check, resource in failed - EXCEPTIONS.keys()
        if check not in OF_OUR_IMAGES
    }
    assert unexplained == set()
    assert EXCEPTIONS.keys() <= failed, "no longer needed"
    assert OF_OUR_IMAGES.keys() <= {check for check, _ in failed}, "no longer needed"
