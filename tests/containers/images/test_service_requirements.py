"""An image installs exactly its service's part of the lock."""

from pathlib import Path

import pytest
from service_requirements import (
    UnusableLockError,
    direct_requirements,
    holds_in_image,
    read_lock,
    select,
)

ROOT = Path(__file__).resolve().parents[3]
LOCK = """\
# made by hand
alpha==1.0 \\
    --hash=sha256:aa \\
    --hash=sha256:ab
    # via
    #   service (service/pyproject.toml)
    #   beta
beta==2.0 ; python_full_version < '3.13' \\
    --hash=sha256:bb
    # via alpha
beta==3.0 ; python_full_version >= '3.13' \\
    --hash=sha256:bc
    # via Alpha
only-dev==4.0 \\
    --hash=sha256:dd
    # via payments (pyproject.toml:dev)
"""


def test_a_package_includes_its_dependencies_with_every_hash() -> None:
    text = select(LOCK, {"alpha"})
    assert text.count("beta==") == 2
    assert text.startswith("alpha==1.0 \\\n    --hash=sha256:aa \\\n    --hash=sha256:ab\n")
    assert "only-dev" not in text


def test_circular_dependencies_terminate() -> None:
    assert select(LOCK, {"beta"}) == select(LOCK, {"alpha"})


def test_an_unknown_package_is_named() -> None:
    with pytest.raises(UnusableLockError, match=r"not in requirements\.lock: gamma; run make lock"):
        select(LOCK, {"gamma"})


def test_only_packages_of_the_images_python_are_listed_for_the_sbom() -> None:
    assert [pin.lines[0][:9] for pin in read_lock(LOCK) if holds_in_image(pin)] == [
        "alpha==1.",
        "beta==3.0",
        "only-dev=",
    ]


def names(service: str) -> set[str]:
    lock = (ROOT / "requirements.lock").read_text()
    return {pin.name for pin in read_lock(select(lock, direct_requirements(ROOT, service)))}


def test_the_page_installs_no_database_code() -> None:
    assert not names("payments-ui") & {"sqlalchemy", "asyncpg", "alembic", "greenlet"}
    assert {"quart", "hypercorn", "httpx2", "jinja2"} <= names("payments-ui")


@pytest.mark.parametrize("service", ["payments-api", "recon-worker", "payments-ui"])
def test_no_image_installs_development_packages(service: str) -> None:
    assert not names(service) & {"pytest", "ruff", "mypy", "uv", "hatchling", "testcontainers"}
