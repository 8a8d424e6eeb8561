"""Each of the three images."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from testkit.deployments.engine import docker

pytestmark = pytest.mark.engine

ROOT = Path(__file__).resolve().parents[3]
BUILD_SECONDS_MAX = 300
SERVICES = ("payments-api", "recon-worker", "payments-ui")
# Their measured sizes plus a tenth, so that growth is noticed and deliberate.
MEGABYTES_MAX = {"payments-api": 140, "recon-worker": 133, "payments-ui": 138}
LOAD_EVERY_LIBRARY = """
import ctypes, pathlib, sysconfig
libraries = [file for root in ("/app", sysconfig.get_path("stdlib"))
             for file in pathlib.Path(root).rglob("*.so")]
for file in libraries:
    ctypes.CDLL(str(file))
print(len(libraries))
"""


def confined(image: str, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run it as compose and Kubernetes do: read-only root, no capabilities."""
    options = ("--rm", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
    entrypoint, *rest = command
    return docker("run", *options, "--entrypoint", entrypoint, image, *rest, check=check)


def config(image: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = json.loads(docker("image", "inspect", image).stdout)
    return found[0]


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_is_small(images: str, service: str) -> None:
    size = config(f"{service}:{images}")["Size"] / 1e6
    assert size < MEGABYTES_MAX[service]


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_is_labelled_with_title_and_revision(images: str, service: str) -> None:
    labels = config(f"{service}:{images}")["Config"]["Labels"]
    assert labels["org.opencontainers.image.title"] == service
    assert labels["org.opencontainers.image.version"] == "1.2.3-test"
    assert labels["org.opencontainers.image.revision"] == "0" * 40


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_runs_unprivileged_and_checks_its_health(images: str, service: str) -> None:
    found = config(f"{service}:{images}")["Config"]
    assert found["User"] == "10001:10001"
    assert found["Entrypoint"] == [service]
    assert found["Healthcheck"]["Test"][:2] == ["CMD", "python"]


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_contains_no_shell_and_no_installer(images: str, service: str) -> None:
    for program in ("sh", "bash", "pip", "uv", "apt-get", "dpkg"):
        found = confined(f"{service}:{images}", program, "--version", check=False)
        assert found.returncode == 127, program
        assert "not found" in found.stderr


@pytest.mark.parametrize("service", SERVICES)
def test_every_library_of_an_image_resolves_its_dependencies(images: str, service: str) -> None:
    loaded = confined(f"{service}:{images}", "python", "-c", LOAD_EVERY_LIBRARY)
    assert int(loaded.stdout) > 40


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_contains_bytecode_of_all_its_imports(images: str, service: str) -> None:
    """The root is read-only, so modules without bytecode would be compiled at every start."""
    program = (
        "import pathlib, sysconfig;"
        "roots = ('/app/lib', sysconfig.get_path('stdlib'));"
        "sources = [f for r in roots for f in pathlib.Path(r).rglob('*.py')];"
        "print(sum(not list((f.parent / '__pycache__').glob(f.stem + '.*.pyc')) for f in sources))"
    )
    assert int(confined(f"{service}:{images}", "python", "-c", program).stdout) < 5


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_prints_its_help(images: str, service: str) -> None:
    assert service in confined(f"{service}:{images}", service, "--help").stdout


def test_an_image_contains_ca_certificates(images: str) -> None:
    program = "import ssl; print(len(ssl.create_default_context().get_ca_certs()))"
    assert int(confined(f"payments-api:{images}", "python", "-c", program).stdout) > 50


def built_with() -> dict[str, str]:
    """Return compose's build arguments of the page."""
    composed = subprocess.run(
        ["docker", "compose", "config", "--format", "json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, str] = json.loads(composed.stdout)["services"]["payments-ui"]["build"]["args"]
    return found


def build_page(context: Path, tag: str, python_image: str) -> None:
    file = str(context / "payments-ui/Dockerfile")
    arguments = ("--build-arg", f"PYTHON_IMAGE={python_image}", "--file", file, "--tag", tag)
    subprocess.run(
        ["docker", "buildx", "build", "--quiet", "--load", *arguments, str(context)],
        check=True,
        timeout=BUILD_SECONDS_MAX,
    )


def test_a_code_change_rebuilds_only_the_code_layer(images: str, tmp_path: Path) -> None:
    """Two images with different code share the layers of Python and of the dependencies."""
    context = tmp_path / "context"
    for name in ("payments-core", "payments-ui", "deploy/images"):
        shutil.copytree(ROOT / name, context / name)
    for name in ("requirements.lock", ".dockerignore"):
        shutil.copy(ROOT / name, context / name)
    (context / "payments-ui/src/payments_ui/__init__.py").write_text('"""Changed."""\n')
    build_page(context, "payments-ui:tested-change", built_with()["PYTHON_IMAGE"])
    before = config(f"payments-ui:{images}")["RootFS"]["Layers"]
    after = config("payments-ui:tested-change")["RootFS"]["Layers"]
    assert before[:-1] == after[:-1]
    assert before[-1] != after[-1]


OFFICIAL_LAYOUT = """
FROM {base}
RUN mkdir -p /usr/local/bin /usr/local/lib \
    && cp -a /usr/bin/python3.13 /usr/local/bin/ && cp -a /usr/lib/python3.13 /usr/local/lib/ \
    && rm -rf /usr/bin/python /usr/bin/python3* /usr/lib/python3.13 \
    && ln -s python3.13 /usr/local/bin/python3 && ln -s python3 /usr/local/bin/python \
    && cp -L /usr/lib/*/libexpat.so.1 /usr/local/lib/ && rm /usr/lib/*/libexpat.so.1* && ldconfig
"""


def test_an_image_builds_on_the_official_images_layout_of_python(images: str) -> None:
    """Python in /usr/local, with a library that the loader finds only by its cache."""
    base = built_with()["PYTHON_IMAGE"]
    if not base.startswith("payments-airgap/"):
        pytest.skip("the tested images are already based on the official image")
    subprocess.run(
        [
            "docker",
            "buildx",
            "build",
            "--quiet",
            "--load",
            "--tag",
            "payments-official:tested",
            "-",
        ],
        input=OFFICIAL_LAYOUT.format(base=base).encode(),
        check=True,
        timeout=120,
    )
    build_page(ROOT, "payments-ui:tested-official", "payments-official:tested")
    loaded = confined("payments-ui:tested-official", "python", "-c", LOAD_EVERY_LIBRARY)
    assert int(loaded.stdout) > 40
    assert "payments-ui" in confined("payments-ui:tested-official", "payments-ui", "--help").stdout
