"""Write an image's software bill of materials as CycloneDX, from the installed packages.

    python write_bill.py payments-api --app /app --debian status.d >image.cdx.json

Runs inside the build, on the standard library alone: a tool would add its own packages to every
build. The dependency graph comes from requirements.lock (--root), as in service_requirements.py.
The output contains no time and no serial number: equal packages give equal bytes.
"""

import argparse
import json
import platform
import sys
import tomllib
from collections.abc import Iterable
from email.parser import Parser
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any
from urllib.parse import quote

from service_requirements import canonical, direct_requirements, read_lock

OURS = "payments-core"  # The package that every service installs besides itself.
LICENCE_CLASSIFIER = "License :: OSI Approved :: "


def python_packages(folders: Iterable[Path]) -> list[dict[str, Any]]:
    """Return a component for each package installed in the folders, sorted by name."""
    found = distributions(path=[str(folder) for folder in folders])
    return sorted(map(_python_package, found), key=lambda one: str(one["name"]))


def _python_package(package: Distribution) -> dict[str, Any]:
    name = canonical(package.metadata["Name"])
    purl = f"pkg:pypi/{name}@{quote(package.version)}"
    licences = _licences(package)
    return _library(purl, name, package.version) | ({"licenses": licences} if licences else {})


def _licences(package: Distribution) -> list[dict[str, Any]]:
    """Return the licences that the package states: an SPDX expression, else names."""
    if expression := package.metadata.get_all("License-Expression"):
        return [{"expression": expression[0]}]
    classifiers = package.metadata.get_all("Classifier") or []
    names = [c.removeprefix(LICENCE_CLASSIFIER) for c in classifiers if LICENCE_CLASSIFIER in c]
    if not names:  # Some packages put the whole text here.
        names = [said for said in package.metadata.get_all("License") or [] if "\n" not in said]
    return [{"license": {"name": name}} for name in names]


def debian_packages(folder: Path) -> list[dict[str, Any]]:
    """Return a component for each Debian package with files in the image."""
    return [debian_package(file.read_text()) for file in sorted(folder.iterdir())]


def debian_package(status: str) -> dict[str, Any]:
    """Return the component of one stanza of dpkg's status, which has the format of mail headers."""
    stanza = Parser().parsestr(status)
    name, version, architecture = (stanza[key] for key in ("Package", "Version", "Architecture"))
    purl = f"pkg:deb/debian/{quote(name)}@{quote(version)}?arch={architecture}"
    return _library(purl, name, version)


def vendored_packages(listed: str) -> list[dict[str, Any]]:
    """Return a component for each vendored npm package: the rows of VENDORED.md."""
    rows = [[cell.strip() for cell in line.split("|")] for line in listed.splitlines()]
    packages = {(row[2], row[3], row[4]) for row in rows if len(row) == 7 and "`" in row[1]}
    return [
        _library(f"pkg:npm/{quote(name)}@{version}", name, version)
        | {"licenses": [{"expression": licence}]}
        for name, version, licence in sorted(packages)
    ]


def interpreter(version: str) -> dict[str, Any]:
    """Return Python's own component, if no Debian package provides it."""
    cpe = f"cpe:2.3:a:python:python:{version}:*:*:*:*:*:*:*"
    return _library(f"pkg:generic/python@{version}", "python", version) | {"cpe": cpe}


def _library(purl: str, name: str, version: str) -> dict[str, Any]:
    return {"bom-ref": purl, "type": "library", "name": name, "version": version, "purl": purl}


def bill(
    service: str, root: Path, python: list[dict[str, Any]], others: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return the bill of a service whose image holds these components."""
    ours = [_of_ours(root, OURS, "library")]
    references = {one["name"]: one["bom-ref"] for one in [*ours, *python]}
    needed: dict[str, set[str]] = {name: set() for name in references}
    for pin in read_lock((root / "requirements.lock").read_text()):
        for parent in pin.via:
            if parent in needed and pin.name in references:
                needed[parent].add(references[pin.name])
    main = _of_ours(root, service, "application")
    direct = {references[n] for n in direct_requirements(root, service) if n in references}
    dependencies = [
        {"ref": main["bom-ref"], "dependsOn": sorted(direct | {OURS})},
        *({"ref": references[name], "dependsOn": sorted(refs)} for name, refs in needed.items()),
        *({"ref": one["bom-ref"]} for one in others),
    ]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": main},
        "components": [*ours, *python, *others],
        "dependencies": dependencies,
    }


def _of_ours(root: Path, member: str, kind: str) -> dict[str, Any]:
    project = tomllib.loads((root / member / "pyproject.toml").read_text())["project"]
    licences = [{"expression": project["license"]}] if "license" in project else []
    return {
        "bom-ref": member,
        "type": kind,
        "name": member,
        "version": project["version"],
        **({"licenses": licences} if licences else {}),
    }


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("service", help="a workspace member's folder name")
    parser.add_argument("--app", type=Path, required=True, help="the environment that goes in")
    parser.add_argument("--debian", type=Path, required=True, help="dpkg's stanzas, a file each")
    parser.add_argument("--vendored", type=Path, help="the list of files that others wrote, if any")
    parser.add_argument("--root", type=Path, default=Path(), help="where requirements.lock is")
    arguments = parser.parse_args()
    python = python_packages(arguments.app.glob("lib/python3*/site-packages"))
    others = debian_packages(arguments.debian)
    if not any(one["name"].startswith("python3") for one in others):
        others.append(interpreter(platform.python_version()))
    if arguments.vendored and arguments.vendored.exists():
        others += vendored_packages(arguments.vendored.read_text())
    json.dump(bill(arguments.service, arguments.root, python, others), sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
