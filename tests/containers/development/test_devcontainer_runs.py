"""The development container starts, and automations.yaml runs in it.

Its image and its only feature come from registries, so a substitute is built on the base image of
`make airgap`. The rest of devcontainer.json is unchanged, and the development containers' own
command line starts it.
"""

import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from testkit.checked_command import output_of

ROOT = Path(__file__).resolve().parents[3]
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


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Start the container; return the command that runs another command inside it."""
    if shutil.which("npm") is None:
        pytest.skip("npm is missing, which installs the development containers' command line")
    if output_of("docker", "image", "ls", "--quiet", BASE) == "":
        pytest.skip(f"there is no {BASE}: make airgap builds it")
    if os.getuid() != 0:
        pytest.skip("only root can give the checkout to the container's user")
    output_of("make", ".cache/tools/devcontainer/.done")
    output_of("docker", "buildx", "build", "--quiet", "--load", "--tag", IMAGE, "-", stdin=STAND_IN)

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
        output_of(cli, "up", *where)
        yield [cli, "exec", *where]
    finally:
        found = output_of("docker", "ps", "--all", "--quiet", "--filter", f"label={label}").split()
        for container in found:
            image = output_of("docker", "inspect", "--format", "{{.Image}}", container).strip()
            output_of("docker", "rm", "--force", "--volumes", container)
            output_of("docker", "image", "rm", "--force", image)


def copy_tracked_files(checkout: Path) -> None:
    """Copy this tree without ignored files, owned by the container's user as a clone would be."""
    listed = output_of("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, checkout / name)
    output_of("chown", "-R", f"{VSCODE_UID}:{VSCODE_UID}", str(checkout))


def test_the_services_are_linked_side_by_side(inside: list[str]) -> None:
    output = output_of(
        *inside, "sh", "-c", "cd /workspaces && readlink payments-api recon-worker payments-ui"
    )
    assert output.split() == [
        "payments/payments-api",
        "payments/recon-worker",
        "payments/payments-ui",
    ]


def test_the_whole_automations_file_runs(inside: list[str]) -> None:
    output = output_of(*inside, "make", "ona", "ARGS=--then validate")
    assert "task validate: done" in output
    assert output.count(": stopped in ") == 4


def test_psql_is_on_path(inside: list[str]) -> None:
    output = output_of(*inside, "bash", "-lc", "psql --version && pg_isready --version")
    assert output.count("PostgreSQL") == 2
