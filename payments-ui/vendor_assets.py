"""Copy the page's third-party files into the tree from npm packages, at pinned versions.

    python payments-ui/vendor_assets.py           # fetch again (needs npm and its registry)
    python payments-ui/vendor_assets.py --check   # compare the tree with VENDORED.md (no network)

Running the page does not need this: the files are committed. To update, raise a version in
PACKAGES, run it, and commit the changes.
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE_ASSETS = HERE / "src/payments_ui/static/vendor"
TEST_ASSETS = HERE.parent / "tests/testkit/src/testkit/browser/vendor"


@dataclass(frozen=True)
class Package:
    """One npm package and the files taken from it (path in the package -> name here)."""

    name: str
    version: str
    licence: str
    folder: Path
    files: dict[str, str]


PACKAGES = (
    Package(
        "htmx.org",
        "4.0.1",
        "0BSD",
        PAGE_ASSETS,
        {
            "dist/htmx.min.js": "htmx.min.js",
            "dist/ext/hx-sse.min.js": "hx-sse.min.js",
            "LICENSE": "htmx.LICENSE.txt",
        },
    ),
    Package(
        "@fontsource-variable/geist",
        "5.3.0",
        "OFL-1.1",
        PAGE_ASSETS,
        {
            "files/geist-latin-wght-normal.woff2": "geist-latin.woff2",
            "files/geist-latin-ext-wght-normal.woff2": "geist-latin-ext.woff2",
            "LICENSE": "geist.LICENSE.txt",
        },
    ),
    Package(
        "@fontsource-variable/geist-mono",
        "5.3.0",
        "OFL-1.1",
        PAGE_ASSETS,
        {
            "files/geist-mono-latin-wght-normal.woff2": "geist-mono-latin.woff2",
            "LICENSE": "geist-mono.LICENSE.txt",
        },
    ),
    Package(
        "axe-core",
        "4.14.1",
        "MPL-2.0",
        TEST_ASSETS,
        {"axe.min.js": "axe.min.js", "LICENSE": "axe.LICENSE.txt"},
    ),
)


def fetch(package: Package, scratch: Path) -> None:
    """Unpack the package's wanted files into its folder."""
    npm = shutil.which("npm")
    if npm is None:
        sys.exit("fetching the assets needs npm: install Node.js, or keep the present files")
    subprocess.run(  # noqa: S603 - the arguments are the constants above
        [npm, "pack", "--silent", f"{package.name}@{package.version}"], cwd=scratch, check=True
    )
    archive = scratch / f"{package.name.lstrip('@').replace('/', '-')}-{package.version}.tgz"
    package.folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as tar:
        for source, target in package.files.items():
            content = tar.extractfile(f"package/{source}")
            assert content is not None, f"{package.name} no longer ships {source}"
            data = content.read()
            # The pages ship no source maps, and a browser asked for one would meet a 404.
            lines = [line for line in data.split(b"\n") if b"# sourceMappingURL=" not in line]
            (package.folder / target).write_bytes(
                b"\n".join(lines) if target.endswith(".js") else data
            )


def listing(folder: Path) -> str:
    """Return VENDORED.md: each file's source, licence and sha256."""
    rows = [
        f"| `{target}` | {package.name} | {package.version} | {package.licence} | `{digest}` |"
        for package in PACKAGES
        if package.folder == folder
        for target in package.files.values()
        for digest in [hashlib.sha256((folder / target).read_bytes()).hexdigest()]
    ]
    return (
        "# Vendored files\n\n"
        "Written by others, unchanged but for the source-map comment; fetched by\n"
        "`payments-ui/vendor_assets.py`, which also checks this list (`--check`).\n\n"
        "| file | npm package | version | licence | sha256 |\n| --- | --- | --- | --- | --- |\n"
        + "\n".join(rows)
        + "\n"
    )


def differences() -> list[str]:
    """Return one line for each folder whose files differ from its VENDORED.md."""
    found = []
    for folder in sorted({package.folder for package in PACKAGES}):
        stated = folder / "VENDORED.md"
        if not stated.exists() or stated.read_text() != listing(folder):
            found.append(f"{folder.name}: files and VENDORED.md differ")
    return found


def main() -> None:
    """Fetch or check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; change nothing")
    if not parser.parse_args().check:
        with tempfile.TemporaryDirectory() as scratch:
            for package in PACKAGES:
                fetch(package, Path(scratch))
        for folder in {package.folder for package in PACKAGES}:
            (folder / "VENDORED.md").write_text(listing(folder))
    problems = differences()
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
