"""What a package imports, it declares: an image has nothing else, unlike the one .venv of all."""

import ast
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from payments_local.settings import REPOSITORY

PACKAGES = {
    "payments-core": {"db", "http"},
    "payments-api": set[str](),
    "recon-worker": set[str](),
    "payments-ui": set[str](),
}


def _installed_with(name: str, extras: set[str], seen: set[str]) -> set[str]:
    """Return the names of the distributions that installing this one brings, itself included."""
    key = f"{canonicalize_name(name)}{sorted(extras)}"
    if key in seen:
        return set()
    seen.add(key)
    brought: set[str] = {canonicalize_name(name)}
    try:
        lines = requires(name) or []
    except PackageNotFoundError:  # For another system.
        return set()
    for each in map(Requirement, lines):
        if any(each.marker is None or each.marker.evaluate({"extra": x}) for x in ("", *extras)):
            brought |= _installed_with(each.name, each.extras, seen)
    return brought


def _imports(source: Path) -> Iterator[str]:
    """Yield the top names of the modules that a file imports."""
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize(("package", "extras"), PACKAGES.items())
def test_a_package_imports_only_what_its_requirements_install(
    package: str, extras: set[str]
) -> None:
    brought = _installed_with(package, extras, set())
    # The project's own packages are installed as links, which hold no list of modules.
    owners = dict(packages_distributions()) | {each.replace("-", "_"): [each] for each in PACKAGES}
    sources = list((REPOSITORY / package / "src").rglob("*.py"))
    assert sources
    undeclared = {
        f"{source.relative_to(REPOSITORY)} imports {module}"
        for source in sources
        for module in _imports(source)
        if module not in sys.stdlib_module_names
        and not brought & {canonicalize_name(owner) for owner in owners.get(module, [])}
    }
    assert not undeclared
