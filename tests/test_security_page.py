"""SECURITY.md names existing tests, files and settings."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "SECURITY.md").read_text()
NAMED = sorted(set(re.findall(r"`([\w/.-]+\.py)::(\w+)`", PAGE)))


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_each_named_test_exists(file: str, name: str) -> None:
    assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE)


def _rows_of(heading: str) -> list[str]:
    """Return the rows of the first table under a heading."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("| ")][2:]


@pytest.mark.parametrize(
    ("heading", "rows_min"),
    [
        ("Who holds one database password", 3),
        ("Who sits behind the same proxy", 5),
        ("What is defended, and by which test", 30),
    ],
)
def test_each_claim_names_a_test(heading: str, rows_min: int) -> None:
    rows = _rows_of(heading)
    assert len(rows) >= rows_min
    for row in rows:
        assert "::test_" in row.split(" | ")[-1], row


def test_each_linked_file_exists() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / link).exists(), link


def test_each_named_variable_is_a_setting() -> None:
    known = (ROOT / "docs/settings.md").read_text()
    for name in set(re.findall(r"`((?:PAYMENTS|RECON|DATABASE)_[A-Z_]+)", PAGE)):
        assert name in known, name
