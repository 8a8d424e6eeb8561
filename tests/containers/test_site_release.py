"""`make site-release`: images under a site's names, pushed or saved, and an overlay that fits."""

import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
import yaml

from payments_local.ports import free_port
from payments_local.settings import REPOSITORY
from testkit.deployments.k8s_manifests import (
    K8S,
    RELEASE_NAMES,
    SCRATCH,
    Object,
    build,
    combination,
    components_above,
    one,
    write_kustomization,
)

PAGE = REPOSITORY / "docs" / "operations" / "kubernetes.md"
SERVICES = {"payments-api", "recon-worker", "payments-ui"}
BUILD_SECONDS_MAX = 600
START_SECONDS_MAX = 20


def run(*command: str, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=REPOSITORY,
        env={**os.environ, **(environ or {})},
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS_MAX,
        check=False,
    )


def page_command(start: str) -> list[str]:
    """Return the page's only command with this start, unchanged."""
    lines = re.findall(rf"^({start}.*?)(?: +#.*)?$", PAGE.read_text(), re.MULTILINE)
    (line,) = lines
    return shlex.split(line)


@pytest.fixture
def overlay_folder() -> Iterator[Path]:
    """Create an overlay of the site, into which release/ is written."""
    # One folder for each test, because builds are cached by folder.
    folder = SCRATCH / f"site-release-{uuid4().hex[:8]}"
    folder.mkdir(parents=True)
    write_kustomization(folder, ["release", components_above(folder) + RELEASE_NAMES])
    yield folder
    shutil.rmtree(folder)


def images_of(objects: tuple[Object, ...]) -> set[str]:
    """Return every image that a pod of these objects runs."""
    return set(re.findall(r"['\"]image['\"]: ['\"]([^'\"]+)", repr(objects)))


def refused(tmp_path: Path, registry: str, version: str) -> str:
    """Run the script on a PATH without programs; return its error."""
    script = str(REPOSITORY / "deploy/airgap/site-release")
    command = ["/bin/bash", script, registry, version, "", str(tmp_path)]
    environ = {"PATH": str(tmp_path)}
    done = subprocess.run(
        command, env=environ, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode != 0
    return done.stderr


@pytest.mark.parametrize("registry", ["", "payments", "https://registry.example", "a.example/"])
def test_a_registry_without_a_host_is_rejected(tmp_path: Path, registry: str) -> None:
    """For `payments`, an engine would push `payments/payments-api` to a public registry."""
    assert f"REGISTRY={registry}: give a host" in refused(tmp_path, registry, "0.1.0")


@pytest.mark.parametrize("version", ["", "1.0+build", "-1", "1" * 41, "a/b"])
def test_a_version_that_is_not_a_valid_tag_and_label_is_rejected(
    tmp_path: Path, version: str
) -> None:
    assert f"VERSION={version}: give 1 to 40" in refused(tmp_path, "registry.example", version)


def test_the_overlay_takes_every_image_from_the_sites_registry() -> None:
    images = images_of(build(K8S / "overlays" / "airgap"))
    prefix = "registry.site.example/payments/"
    assert {image.partition(":")[0] for image in images} == {
        prefix + name for name in (*SERVICES, "postgres")
    }


def test_every_pod_pulls_with_the_registrys_secret() -> None:
    components = ("generated-secrets", "autoscaling", "registry-credentials")
    accounts = [item for item in combination(components) if item["kind"] == "ServiceAccount"]
    assert {item["metadata"]["name"] for item in accounts} > {*SERVICES, "postgres", "make-secrets"}
    for account in accounts:
        assert account["imagePullSecrets"] == [{"name": "payments-registry"}], account


@contextmanager
def process(*command: str) -> Iterator[None]:
    """Run a server while the block runs."""
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        running.terminate()
        running.wait(30)


def program(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is missing: install Debian's package {package}")
    return found


def until_it_works(*command: str) -> str:
    deadline = time.monotonic() + START_SECONDS_MAX
    while (done := run(*command)).returncode != 0:
        assert time.monotonic() < deadline, done.stderr
        time.sleep(0.2)
    return done.stdout


@pytest.mark.engine
@pytest.mark.usefixtures("images")  # Builds the layers once for all tests.
def test_the_overlay_names_the_pushed_images(overlay_folder: Path, tmp_path: Path) -> None:
    server = program("docker-registry", "docker-registry")
    port = free_port()
    settings = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "registry")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    (tmp_path / "registry.yaml").write_text(yaml.safe_dump(settings))
    registry = f"127.0.0.1:{port}/payments"
    # YAML would read this version as a number.
    arguments = [f"REGISTRY={registry}", "VERSION=1.0", f"OVERLAY={overlay_folder}"]
    with process(server, "serve", str(tmp_path / "registry.yaml")):
        until_it_works("curl", "-sf", f"http://127.0.0.1:{port}/v2/")
        done = run("make", "--no-print-directory", "site-release", *arguments)
        try:
            assert done.returncode == 0, done.stderr
            objects = build(overlay_folder)
            named = images_of(objects)
            assert {image.rpartition(":")[0] for image in named} == {
                f"{registry}/{name}" for name in (*SERVICES, "postgres")
            }
            for image in named:
                repository, _, tag = image.removeprefix(f"127.0.0.1:{port}/").rpartition(":")
                address = f"http://127.0.0.1:{port}/v2/{repository}/manifests/{tag}"
                media = "application/vnd.docker.distribution.manifest.v2+json"
                assert httpx.get(address, headers={"Accept": media}).status_code == 200, image
            release = one(objects, "ConfigMap", "payments-release")["data"]
            assert (release["version"], release["name"]) == ("1.0", "1-0")
            revision = release["revision"]
            assert one(objects, "Job", f"migrate-{revision}-1-0")
        finally:
            built = [f"{name}:1.0" for name in SERVICES]
            run("docker", "rmi", *built, *re.findall(rf"^{registry}/\S+$", done.stdout, re.M))


@pytest.mark.engine
@pytest.mark.usefixtures("images")
def test_the_documented_commands_import_the_images_into_containerd(
    overlay_folder: Path, tmp_path: Path
) -> None:
    """Run the commands of the page with a separate containerd and another overlay."""
    containerd = program("containerd", "containerd")
    program("ctr", "containerd")
    if os.geteuid() != 0:
        pytest.skip("containerd needs root")
    save = page_command("make site-release .*SAVE=")
    archive = REPOSITORY / save[-1].partition("=")[2]
    done = run(*save, f"OVERLAY={overlay_folder}")
    tagged = re.findall(r"^registry\.site\.example/\S+$", done.stdout, re.MULTILINE)
    address = str(tmp_path / "containerd.sock")
    (tmp_path / "config.toml").write_text(
        f"version = 2\nroot = '{tmp_path}/root'\nstate = '{tmp_path}/state'\n"
        f"disabled_plugins = ['io.containerd.grpc.v1.cri']\n[grpc]\naddress = '{address}'\n"
    )
    try:
        assert done.returncode == 0, done.stderr
        ctr = ("ctr", "--address", address)
        with process(containerd, "--config", str(tmp_path / "config.toml")):
            until_it_works(*ctr, "version")
            load = page_command("ctr --namespace k8s.io images import")
            loaded = run(*load, environ={"CONTAINERD_ADDRESS": address})
            assert loaded.returncode == 0, loaded.stderr
            listed = run(*ctr, "--namespace", "k8s.io", "images", "ls", "--quiet").stdout.split()
        assert images_of(build(overlay_folder)) == set(tagged) <= set(listed)
    finally:
        archive.unlink(missing_ok=True)
        built = [f"{name}:0.1.0" for name in SERVICES]
        run("docker", "rmi", *built, *tagged)
