"""The suites of the four packages pass on the images' Python and packages.

Each test function runs once there, with its first parameters. A failure that only the images'
Python or a package's build for it brings about is hardly ever one of a single set of parameters.
"""

import json
from pathlib import Path

import pytest

from testkit.deployments.engine import docker

ROOT = Path(__file__).resolve().parents[3]
IMAGE = "payments-suites:tested"
BUILD_SECONDS_MAX = 300
ANSWER_SECONDS_MAX = 60
SUITE_SECONDS_MAX = 1800
PACKAGES = ("payments-api", "payments-core", "recon-worker", "payments-ui")
WHAT_IS_INSTALLED = """
import importlib.metadata, json, sys
found = {each.name.lower(): each.version for each in importlib.metadata.distributions()}
print(json.dumps({"python": sys.version, **found}))
"""

pytestmark = [pytest.mark.engine, pytest.mark.timeout(SUITE_SECONDS_MAX + BUILD_SECONDS_MAX)]


def installed(image: str, python: str) -> dict[str, str]:
    """Return the versions of Python and of each package."""
    command = ("run", "--rm", "--entrypoint", python, image, "-c", WHAT_IS_INSTALLED)
    done = docker(*command, seconds_max=ANSWER_SECONDS_MAX)
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def suites() -> str:
    """Build an image of this tree and a virtual environment on the images' Python."""
    config = docker("compose", "config", "--format", "json", seconds_max=ANSWER_SECONDS_MAX)
    base = json.loads(config.stdout)["services"]["payments-api"]["build"]["args"]["PYTHON_IMAGE"]
    options = ("--quiet", "--load", "--tag", IMAGE, "--build-arg", f"PYTHON_IMAGE={base}")
    file = "tests/containers/images/suites.Dockerfile"
    docker("buildx", "build", *options, "--file", file, ".", seconds_max=BUILD_SECONDS_MAX)
    return IMAGE


@pytest.mark.parametrize("service", ["payments-api", "recon-worker", "payments-ui"])
def test_the_suites_use_the_packages_of_the_image(images: str, suites: str, service: str) -> None:
    in_image = installed(f"{service}:{images}", "python")
    assert in_image.items() <= installed(suites, ".venv/bin/python").items()


def test_the_suites_pass_on_the_images_python(suites: str) -> None:
    arguments = " ".join(["-q", "--first-parameters", *(f"{each}/tests" for each in PACKAGES)])
    # Bounded inside too, because a container outlives its client.
    command = ("timeout", str(SUITE_SECONDS_MAX), "make", "test", f"ARGS={arguments}")
    options = ("run", "--rm", "--init", suites)
    done = docker(*options, *command, check=False, seconds_max=SUITE_SECONDS_MAX + 60)
    assert done.returncode == 0, f"{done.stdout[-5000:]}{done.stderr[-1000:]}"
