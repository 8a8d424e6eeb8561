"""Commands in the operators' pages that change an object before it is applied."""

import json
import re
import subprocess

import yaml

from payments_local.settings import REPOSITORY
from testkit.deployments.k8s_manifests import combination, kubectl, one

BACKUP_PAGE = REPOSITORY / "docs/operations/backup.md"


def test_the_patch_for_copying_backups_gives_an_idle_pod_the_volume() -> None:
    text = BACKUP_PAGE.read_text()
    (patch,) = re.findall(r"--type=json --output=yaml --patch='(\[.*?\])'", text, re.DOTALL)
    job = one(combination(()), "CronJob", "backup")["spec"]["jobTemplate"]
    made = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "backups"}, **job}
    command = [str(kubectl()), "patch", "--local", "--filename=-", "--type=json", "--output=yaml"]
    run = subprocess.run(
        [*command, f"--patch={patch}"],
        input=json.dumps(made),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    pod = yaml.safe_load(run.stdout)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["command"][0] == "sleep"
    assert int(container["command"][1]) >= 3600
    assert {"name": "backups", "persistentVolumeClaim": {"claimName": "backups"}} in pod["volumes"]
    mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
    (folder,) = re.findall(r"exec job/backups -- cat (/\w+)/\$FILE >", text)
    assert folder in mounted


def test_the_backup_finds_postgres_programs_in_every_image() -> None:
    """The official Debian image has them below /usr/lib, the one of `make airgap` too."""
    job = one(combination(()), "CronJob", "backup")["spec"]["jobTemplate"]["spec"]["template"]
    server = one(combination(()), "StatefulSet", "postgres")["spec"]["template"]
    (container,) = job["spec"]["containers"]
    shell, _, script = container["command"]
    assert shell == "sh"
    paths = set(re.findall(r"(?<![\w$\"/.])/[a-z][\w./-]*", script))
    assert paths == {"/tmp/yesterday", "/dev/null", "/dev/urandom"}
    for key in ("runAsUser", "runAsGroup", "fsGroup"):
        assert job["spec"]["securityContext"][key] == server["spec"]["securityContext"][key] == 999
    assert container["image"] == server["spec"]["containers"][0]["image"]
