"""Adds an image's Debian packages to its bill of materials.

    docker export CONTAINER | python add_system_packages.py payments-api.cdx.json

Reads the image's file system as a tar from standard input; minimal-root left there what dpkg knows
of each package. Changes the CycloneDX file in place.
"""

import json
import sys
import tarfile
from email.parser import Parser
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

STATUS = "var/lib/dpkg/status.d/"


def system_packages(image: IO[bytes]) -> list[dict[str, Any]]:
    """A CycloneDX component for each Debian package, in order of name."""
    found = []
    with tarfile.open(fileobj=image, mode="r|") as tar:
        for member in tar:
            if member.isfile() and member.name.startswith(STATUS):
                file = tar.extractfile(member)
                assert file is not None, "it is a file"
                found.append(component(file.read().decode()))
    return sorted(found, key=lambda package: str(package["name"]))


def component(status: str) -> dict[str, Any]:
    """From a stanza of dpkg's, which is laid out as a mail's header is."""
    stanza = Parser().parsestr(status)
    name, version, architecture = (stanza[key] for key in ("Package", "Version", "Architecture"))
    purl = f"pkg:deb/debian/{quote(name)}@{quote(version)}?arch={architecture}"
    return {"bom-ref": purl, "type": "library", "name": name, "version": version, "purl": purl}


def main(path: Path) -> int:
    document = json.loads(path.read_text())
    packages = system_packages(sys.stdin.buffer)
    document["components"] = document.get("components", []) + packages
    document.setdefault("dependencies", []).extend({"ref": one["bom-ref"]} for one in packages)
    path.write_text(json.dumps(document, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: docker export CONTAINER | add_system_packages.py SBOM.json")
    sys.exit(main(Path(sys.argv[1])))
