"""`make sbom` names what is in the images."""

import io
import json
import subprocess
import tarfile
from pathlib import Path

import pytest
from add_system_packages import system_packages

ROOT = Path(__file__).resolve().parents[2]
STANZA = """\
Package: libssl3t64
Status: install ok installed
Architecture: amd64
Version: 3.5.1-1+deb13u1
Description: Secure Sockets Layer toolkit
 with a second line: of text
"""


def tar_of(files: dict[str, str]) -> io.BytesIO:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    written.seek(0)
    return written


def test_a_debian_package_becomes_a_component_scanners_know() -> None:
    found = system_packages(
        tar_of({"var/lib/dpkg/status.d/libssl3t64": STANZA, "app/bin/python": "x"})
    )
    assert [one["purl"] for one in found] == [
        "pkg:deb/debian/libssl3t64@3.5.1-1%2Bdeb13u1?arch=amd64"
    ]


@pytest.mark.engine
def test_the_bill_names_what_the_image_holds(images: str) -> None:
    made = subprocess.run(
        ["make", "--no-print-directory", "sbom", f"IMAGE_TAG={images}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if "sbom/.done" in made.stderr:
        pytest.skip(f"the tool cannot be installed here: {made.stderr[-200:]}")
    assert made.returncode == 0, made.stderr
    bill = json.loads((ROOT / "build/sbom/payments-ui.cdx.json").read_text())
    listed = {one["name"].lower() for one in bill["components"]}
    program = "import importlib.metadata as m; print(*{d.name for d in m.distributions()})"
    image = f"payments-ui:{images}"
    said = subprocess.run(
        ["docker", "run", "--rm", "--entrypoint", "python", image, "-c", program],
        capture_output=True,
        text=True,
        check=True,
    )
    installed = {name.lower().replace("_", "-") for name in said.stdout.split()}
    assert installed - {"payments-core", "payments-ui"} <= listed
    assert {"libc6", "python3.13-minimal", "libssl3t64"} & listed
