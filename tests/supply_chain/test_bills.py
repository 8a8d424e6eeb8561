"""The SBOMs of `make sbom` and of the images are valid CycloneDX and match the lock."""

import json
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from service_requirements import closure, direct_requirements, holds_in_image, read_lock
from write_bill import bill, debian_package, interpreter, python_packages, vendored_packages

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / ".cache/tools/sbom"
VENDORED = ROOT / "payments-ui/src/payments_ui/static/vendor/VENDORED.md"
SERVICES = ("payments-api", "recon-worker", "payments-ui")
# Reads a list of documents and prints the errors of each. One process for all, because the schema
# takes seconds to load.
VALIDATE = """
import json, sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
validator = JsonStrictValidator(SchemaVersion.from_version(sys.argv[1]))
problems = [validator.validate_str(json.dumps(one)) for one in json.load(sys.stdin)]
print(json.dumps([problem and str(problem)[-300:] for problem in problems]))
"""
OPTIONS = ("IMAGE_TAG=none-of-these", "SBOM_OPTIONS=--no-validate")  # Validated here.
DEBIAN = (
    "Package: libssl3t64\nStatus: install ok installed\nArchitecture: amd64\nVersion: 3.5.1-1\n"
)


@pytest.fixture(scope="module")
def bills(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the SBOM of each service's Python packages."""
    folder = tmp_path_factory.mktemp("sbom")
    made = subprocess.run(
        ["make", "--no-print-directory", "sbom", *OPTIONS, f"SBOM_DIR={folder}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    if not (TOOL / ".done").exists():
        pytest.skip(f"the tool cannot be installed here: {made.stderr[-200:]}")
    assert made.returncode == 0, made.stderr
    return {name: (folder / f"{name}.cdx.json").read_text() for name in SERVICES}


def of_an_image(service: str) -> dict[str, Any]:
    """Return the SBOM that a build writes for the service's packages in this environment."""
    pins = read_lock((ROOT / "requirements.lock").read_text())
    reached = closure(pins, direct_requirements(ROOT, service))
    installed = python_packages([Path(sysconfig.get_path("purelib"))])
    python = [one for one in installed if one["name"] in reached]
    others = [debian_package(DEBIAN), interpreter("3.13.5")]
    made: dict[str, Any] = bill(
        service, ROOT, python, others + vendored_packages(VENDORED.read_text())
    )
    return made


def test_each_sbom_is_valid(bills: dict[str, str]) -> None:
    written = [json.loads(bills[service]) for service in SERVICES]
    in_images = [of_an_image(service) for service in SERVICES]
    wrong = of_an_image("payments-ui")
    wrong["components"].append({"name": "of no type"})
    done = subprocess.run(
        [str(TOOL / "bin/python"), "-c", VALIDATE, "1.6"],
        input=json.dumps([*written, *in_images, wrong]),
        capture_output=True,
        text=True,
        check=True,
    )
    *problems, expected = json.loads(done.stdout)
    assert problems == [None] * 6
    assert "type" in expected


@pytest.mark.parametrize("service", SERVICES)
def test_an_images_sbom_lists_dependencies(service: str) -> None:
    written = of_an_image(service)
    references = {one["bom-ref"] for one in written["components"]} | {service}
    needs = {one["ref"]: one.get("dependsOn", []) for one in written["dependencies"]}
    assert needs.keys() == references
    assert set().union(*needs.values()) <= references
    quart = next(ref for ref in references if ref.startswith("pkg:pypi/quart@"))
    werkzeug = next(ref for ref in references if ref.startswith("pkg:pypi/werkzeug@"))
    assert "payments-core" in needs[service]
    assert quart in needs[service] + needs["payments-core"]
    assert werkzeug in needs[quart]


def test_the_same_packages_give_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "libssl3t64").write_text(DEBIAN)
    program = [sys.executable, "deploy/images/write_bill.py", "payments-api"]
    options = ["--app", sys.prefix, "--debian", str(tmp_path)]
    one, other = (
        subprocess.run(
            program + options,
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    )
    assert one == other
    assert b"libssl3t64" in one


def test_vendored_files_are_listed() -> None:
    found = {one["purl"] for one in vendored_packages(VENDORED.read_text())}
    names = {purl.rpartition("@")[0] for purl in found}
    assert names == {
        "pkg:npm/htmx.org",
        "pkg:npm/%40fontsource-variable/geist",
        "pkg:npm/%40fontsource-variable/geist-mono",
    }


@pytest.mark.parametrize("service", SERVICES)
def test_an_sbom_lists_the_locked_packages_of_the_image(
    bills: dict[str, str], service: str
) -> None:
    bill = json.loads(bills[service])
    pins = read_lock((ROOT / "requirements.lock").read_text())
    reached = closure(pins, direct_requirements(ROOT, service))
    expected = {pin.name for pin in pins if pin.name in reached and holds_in_image(pin)}
    assert {one["name"].lower().replace("_", "-") for one in bill["components"]} == expected
    assert all(one["purl"].startswith("pkg:pypi/") for one in bill["components"])
    assert bill["metadata"]["component"]["name"] == service
