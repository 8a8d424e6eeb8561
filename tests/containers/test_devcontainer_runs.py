"""The development container starts, and automations.yaml runs in it.

Its image and its only feature come from registries, so a substitute is built on the base image of
`make airgap`. The rest of devcontainer.json is unchanged, and the development containers' own
command line starts it.
"""

import json
import os
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BASE = "payments-airgap/python:3.13"
IMAGE = "payments-devcontainer:tested"
STAND_IN = f"""
FROM {BASE}
RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
        --no-install-recommends passwd sudo git make >/dev/null \
    && useradd --create-home --shell /bin/bash vscode \
    && echo 'vscode ALL=(root) NOPASSWD: ALL' >/etc/sudoers.d/vscode
USER vscode
"""
VSCODE_UID = 1000

pytestmark = [pytest.mark.engine, pytest.mark.timeout(420)]


def run(*command: str, stdin: str = "", seconds_max: int = 300) -> str:
    done = subprocess.run(
        command,
        cwd=ROOT,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=seconds_max,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout[-2000:]}{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Start the container; return the command that runs another command inside it."""
    if shutil.which("npm") is None:
        pytest.skip("npm is missing, which installs the development containers' command line")
    if run("docker", "image", "ls", "--quiet", BASE) == "":
        pytest.skip(f"there is no {BASE}: make airgap builds it")
    if os.getuid() != 0:
        pytest.skip("only root can give the checkout to the container's user")
    run("make", ".cache/tools/devcontainer/.done")
    run("docker", "buildx", "build", "--quiet", "--load", "--tag", IMAGE, "-", stdin=STAND_IN)

    folder = tmp_path_factory.mktemp("devcontainer")
    checkout = folder / "payments"
    copy_tracked_files(checkout)
    label = f"payments-test={uuid.uuid4().hex}"
    described = (checkout / ".devcontainer/devcontainer.json").read_text()
    config = json.loads(re.sub(r"^\s*//.*$", "", described, flags=re.MULTILINE))
    config |= {"image": IMAGE, "features": {}, "runArgs": ["--label", label]}
    override = folder / "override.json"
    override.write_text(json.dumps(config))

    cli = str(ROOT / ".cache/tools/devcontainer/node_modules/.bin/devcontainer")
    where = ["--workspace-folder", str(checkout), "--override-config", str(override)]
    try:
        run(cli, "up", *where)
        yield [cli, "exec", *where]
    finally:
        found = run("docker", "ps", "--all", "--quiet", "--filter", f"label={label}").split()
        for container in found:
            image = run("docker", "inspect", "--format", "{{.Image}}", container).strip()
            run("docker", "rm", "--force", "--volumes", container)
            run("docker", "image", "rm", "--force", image)


def copy_tracked_files(checkout: Path) -> None:
    """Copy this tree without ignored files, owned by the container's user as a clone would be."""
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, checkout / name)
    run("chown", "-R", f"{VSCODE_UID}:{VSCODE_UID}", str(checkout))


def test_the_services_are_linked_side_by_side(inside: list[str]) -> None:
    output = run(
        *inside, "sh", "-c", "cd /workspaces && readlink payments-api recon-worker payments-ui"
    )
    assert output.split() == [
        "payments/payments-api",
        "payments/recon-worker",
        "payments/payments-ui",
    ]


def test_the_whole_automations_file_runs(inside: list[str]) -> None:
    output = run(*inside, "make", "ona", "ARGS=--then validate")
    assert "task validate: done" in output
    assert output.count(": stopped in ") == 4


def test_psql_is_on_path(inside: list[str]) -> None:
    output = run(*inside, "bash", "-lc", "psql --version && pg_isready --version")
    assert output.count("PostgreSQL") == 2
