"""Every download is pinned by its hash."""

import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = sorted(
    [
        ROOT / "requirements.lock",
        *ROOT.glob("deploy/tools/*.lock"),
        *ROOT.glob("observability/*.lock"),
    ]
)
DOCKERFILES = sorted(ROOT.glob("*/Dockerfile"))
COMPOSE = sorted((ROOT / "deploy/compose").glob("*.yaml"))
DIGEST = re.compile(r"@sha256:[0-9a-f]{64}\Z")
OURS = re.compile(r"(payments-api|recon-worker|payments-ui)(:|\Z)")


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_each_package_of_a_lock_has_a_version_and_a_hash_and_no_host(lock: Path) -> None:
    text = lock.read_text()
    pins = re.findall(r"^([a-z0-9._-]+)(\S*)((?:[^\n]*\\\n)+[^\n]*)", text, re.MULTILINE)
    assert pins
    assert len(pins) == len(re.findall(r"^[a-z]", text, re.MULTILINE))
    for name, version, rest in pins:
        assert version.startswith("=="), name
        assert "--hash=sha256:" in rest, name
    assert "://" not in text


@pytest.mark.parametrize("versions", [["0.22.0"], ["0.22.0", "0.23.0"]])
def test_a_lock_with_two_versions_of_a_package_is_rejected(
    tmp_path: Path, versions: list[str]
) -> None:
    lock = (ROOT / "requirements.lock").read_text()
    pins = (f"a-package=={version} \\\n    --hash=sha256:{'0' * 64}\n" for version in versions)
    (tmp_path / "requirements.lock").write_text(lock + "".join(pins))
    make = ["make", "--makefile", str(ROOT / "Makefile"), "check-lock-versions"]
    said = subprocess.run(make, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (said.returncode == 0) == (len(versions) == 1), said.stderr
    assert ("several versions of a-package" in said.stderr) == (len(versions) > 1)


def test_each_npm_package_has_its_hash_and_no_host() -> None:
    lock = json.loads((ROOT / "deploy/tools/devcontainer/package-lock.json").read_text())
    for path, package in lock["packages"].items():
        if path:
            assert package["integrity"].startswith("sha512-"), path
            assert "resolved" not in package


@pytest.mark.parametrize("file", COMPOSE, ids=lambda file: file.name)
def test_each_image_of_compose_is_pinned_by_digest_or_built_here(file: Path) -> None:
    for image in re.findall(r"^\s+image: (\S+)$", file.read_text(), re.MULTILINE):
        default = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", image)
        assert DIGEST.search(default) or OURS.match(default), image


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.parent.name)
def test_each_base_image_is_pinned_by_digest(file: Path) -> None:
    text = file.read_text()
    stages = set(re.findall(r"^FROM \S+ AS (\S+)$", text, re.MULTILINE))
    defaults = dict(re.findall(r"^ARG (\w+)=(\S+)$", text, re.MULTILINE))
    for base in re.findall(r"^FROM (\S+)", text, re.MULTILINE):
        image = re.sub(r"\$\{(\w+)\}", lambda name: defaults[name[1]], base)
        assert image in {"scratch", *stages} or DIGEST.search(image), image
    for command in re.findall(r"pip install (?:[^\n]*\\\n)*[^\n]*", text):
        assert "--require-hashes" in command or "--no-index" in command
