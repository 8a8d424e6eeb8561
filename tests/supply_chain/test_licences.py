"""Licences: every package in the images has one compatible with Apache-2.0."""

import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest
from service_requirements import closure, direct_requirements, holds_in_image, read_lock

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("payments-api", "recon-worker", "payments-ui")
# SPDX ids. All allow use and distribution with Apache-2.0; MPL-2.0 requires the source of changed
# files, and we change none.
ALLOWED = {
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "PSF-2.0",
    "Unlicense",
}
# The classifiers and free texts of older packages without an SPDX expression.
SPDX_OF = {
    "OSI Approved :: Apache Software License": "Apache-2.0",
    "OSI Approved :: BSD License": "BSD-3-Clause",
    "OSI Approved :: MIT License": "MIT",
    "OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Public Domain": "Unlicense",
    "3-Clause BSD License": "BSD-3-Clause",
}


def shipped() -> list[str]:
    """Return the names of the packages in any of the images."""
    pins = read_lock((ROOT / "requirements.lock").read_text())
    names = set()
    for service in SERVICES:
        reached = closure(pins, direct_requirements(ROOT, service))
        names |= {pin.name for pin in pins if pin.name in reached and holds_in_image(pin)}
    return sorted(names)


def licences_of(name: str) -> set[str]:
    """Return the SPDX ids of every licence that the installed package declares."""
    metadata: Any = distribution(name).metadata
    expression = metadata.get("License-Expression")
    if expression:
        return set(re.split(r" AND | OR |[()]", expression)) - {""}
    classifiers = [
        text.removeprefix("License :: ")
        for text in metadata.get_all("Classifier", [])
        if text.startswith("License :: ")
    ]
    return {SPDX_OF.get(text, text) for text in classifiers or [metadata.get("License", "")]}


@pytest.mark.parametrize("name", shipped())
def test_each_package_in_an_image_has_a_licence_that_allows_it(name: str) -> None:
    try:
        found = licences_of(name)
    except PackageNotFoundError:
        pytest.skip("not of this platform")
    assert found
    assert found <= ALLOWED


def test_no_unused_licence_is_allowed() -> None:
    needed = set().union(*(licences_of(name) for name in shipped()))
    assert needed == ALLOWED
