"""Print the part of requirements.lock that one service needs, hashes included.

    python service_requirements.py payments-api [--root FOLDER]
    python service_requirements.py --packages uv hatchling
    python service_requirements.py payments-api --in-image     what the images install

Uses only the standard library and resolves nothing: for every package the lock names its dependents
(`# via`), and this walks that graph from the service's pyproject.toml. Dependencies of another
workspace member are added through that member's pyproject.toml, with only the requested extras. uv
rejects an incomplete subset unless it is told --no-deps.
"""

import argparse
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
EXTRAS = re.compile(r"\[([^\]]*)\]")
IMAGE_ENVIRONMENT = {
    "python_version": "3.13",
    "python_full_version": "3.13.0",
    "platform_python_implementation": "CPython",
    "sys_platform": "linux",
}


class UnusableLockError(Exception):
    """The lock lacks something that the service needs; `make lock` writes it again."""


@dataclass
class Pin:
    """One requirement of the lock: its lines, unchanged, and the packages that require it."""

    name: str
    lines: list[str] = field(default_factory=list)
    via: list[str] = field(default_factory=list)


def canonical(name: str) -> str:
    """Return the name in the form in which PEP 503 compares names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_lock(text: str) -> list[Pin]:
    """Return the lock's pins in order; one package may have several, under different markers."""
    pins: list[Pin] = []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if not line[0].isspace():
            match = NAME.match(line)
            if match is None:
                raise UnusableLockError(f"cannot read this line of the lock: {line!r}")
            pins.append(Pin(canonical(match.group()), [line]))
        elif line.lstrip().startswith("#"):
            parent = NAME.match(line.replace("# via", "#").lstrip(" #"))
            if parent is not None:
                pins[-1].via.append(canonical(parent.group()))
        else:
            pins[-1].lines.append(line)
    return pins


def direct_requirements(root: Path, member: str, extras: Iterable[str] = ()) -> set[str]:
    """Return a workspace member's own requirements, those of other members included."""
    project = tomllib.loads((root / member / "pyproject.toml").read_text())["project"]
    wanted = list(project.get("dependencies", []))
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    names: set[str] = set()
    for requirement in wanted:
        match = NAME.match(requirement)
        if match is None:
            raise UnusableLockError(f"{member}/pyproject.toml: cannot read {requirement!r}")
        name = canonical(match.group())
        if (root / name / "pyproject.toml").is_file():
            asked = EXTRAS.search(requirement)
            names |= direct_requirements(
                root, name, [e.strip() for e in asked.group(1).split(",")] if asked else []
            )
        else:
            names.add(name)
    return names


def closure(pins: list[Pin], start: Iterable[str]) -> set[str]:
    """Return the given packages and all their direct and indirect dependencies."""
    brought: dict[str, set[str]] = defaultdict(set)
    for pin in pins:
        for parent in pin.via:
            brought[parent].add(pin.name)
    reached: set[str] = set()
    waiting = list(start)
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += brought[name]
    return reached


def select(lock: str, start: set[str], wanted: Callable[[Pin], bool] = lambda pin: True) -> str:
    """Return the lock's lines for these packages and all their dependencies.

    Raises UnusableLockError for a package that the lock does not hold.
    """
    pins = read_lock(lock)
    missing = start - {pin.name for pin in pins}
    if missing:
        raise UnusableLockError(
            f"not in requirements.lock: {', '.join(sorted(missing))}; run make lock"
        )
    reached = closure(pins, start)
    return "".join(
        f"{line}\n" for pin in pins if pin.name in reached and wanted(pin) for line in pin.lines
    )


def holds_in_image(pin: Pin) -> bool:
    """Return whether the pin's marker, if any, holds for the images' Python and system."""
    from packaging.markers import Marker  # Unused, and not installed, inside a build.

    _, _, marker = pin.lines[0].rstrip("\\ ").partition(";")
    return not marker or Marker(marker).evaluate(IMAGE_ENVIRONMENT)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("service", nargs="?", help="a workspace member's folder name")
    parser.add_argument("--packages", nargs="+", default=[], help="packages instead of a service")
    parser.add_argument("--in-image", action="store_true", help="only what the images install")
    parser.add_argument("--root", type=Path, default=Path(), help="where requirements.lock is")
    arguments = parser.parse_args()
    if bool(arguments.service) == bool(arguments.packages):
        parser.error("name a service, or packages")
    try:
        start = (
            direct_requirements(arguments.root, arguments.service)
            if arguments.service
            else {canonical(name) for name in arguments.packages}
        )
        lock = (arguments.root / "requirements.lock").read_text()
        wanted = holds_in_image if arguments.in_image else lambda pin: True
        sys.stdout.write(select(lock, start, wanted))
    except (UnusableLockError, OSError) as error:
        print(f"service_requirements: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
