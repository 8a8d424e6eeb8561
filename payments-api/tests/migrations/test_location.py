"""The revisions are found at any path of the checkout."""

import shutil
from pathlib import Path

import pytest

from payments_api import migrate


def test_a_percent_sign_in_the_checkouts_path_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = migrate.head_revision()
    checkout = tmp_path / "50%(here)s %d"
    shutil.copytree(Path(migrate.__file__).parent / "migrations", checkout / "migrations")
    monkeypatch.setattr(migrate, "__file__", str(checkout / "migrate.py"))
    assert migrate.head_revision() == head
