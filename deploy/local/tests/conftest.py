"""Fixtures: initdb makes one data folder, and tests that only need one take a copy."""

import subprocess
from pathlib import Path

import pytest

from payments_local.data_folder import postgres_dir
from payments_local.ports import free_port
from payments_local.postgres import EmbeddedPostgres


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made-once")
    server = EmbeddedPostgres(postgres_dir(folder), free_port(), durable=False)
    server.start()
    server.stop()
    return folder


@pytest.fixture
def data_dir(made_once: Path, tmp_path: Path) -> Path:
    """Return a data folder as an earlier `make up` left it."""
    # cp -a, because the copy must belong to the same user, and shutil drops owners.
    subprocess.run(["cp", "-a", str(made_once), str(tmp_path / "data")], check=True)
    return tmp_path / "data"
