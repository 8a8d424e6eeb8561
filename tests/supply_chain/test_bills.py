"""`make sbom` writes valid CycloneDX that names what the lock puts into each image."""

import json
import subprocess
from pathlib import Path

import pytest
from add_system_packages import component
from service_requirements import closure, direct_requirements, holds_in_image, read_lock

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / ".cache/tools/sbom"
SERVICES = ("payments-api", "recon-worker", "payments-ui")
# Reads a list of documents, answers with a list of what is wrong with each. All in one process:
# the schema takes seconds to load.
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
    """The text of each service's bill, of its Python part."""
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


def test_each_bill_is_valid_with_and_without_debians_part(bills: dict[str, str]) -> None:
    documents = [json.loads(bills[service]) for service in SERVICES]
    documents[0]["components"].append(component(DEBIAN))
    wrong = json.loads(bills["payments-ui"])
    wrong["components"].append({"name": "of no type"})
    done = subprocess.run(
        [str(TOOL / "bin/python"), "-c", VALIDATE, documents[0]["specVersion"]],
        input=json.dumps([*documents, wrong]),
        capture_output=True,
        text=True,
        check=True,
    )
    *problems, expected = json.loads(done.stdout)
    assert problems == [None] * 3
    assert "type" in expected


@pytest.mark.parametrize("service", SERVICES)
def test_a_bill_names_what_the_lock_puts_into_the_image(
    bills: dict[str, str], service: str
) -> None:
    bill = json.loads(bills[service])
    pins = read_lock((ROOT / "requirements.lock").read_text())
    reached = closure(pins, direct_requirements(ROOT, service))
    expected = {pin.name for pin in pins if pin.name in reached and holds_in_image(pin)}
    assert {one["name"].lower().replace("_", "-") for one in bill["components"]} == expected
    assert all(one["purl"].startswith("pkg:pypi/") for one in bill["components"])
    assert bill["metadata"]["component"]["name"] == service
