"""`make reset` deletes the data of `make up`, and nothing else."""

from pathlib import Path

import pytest

from payments_local import data_folder
from payments_local.errors import LocalError
from payments_local.postgres import running_postgres


def test_reset_deletes_the_data_of_make_up(data_dir: Path) -> None:
    assert data_folder.reset(data_dir) == f"deleted the data in {data_dir}"
    assert not data_dir.exists()


def test_reset_reports_that_there_is_no_data(tmp_path: Path) -> None:
    assert "nothing to reset" in data_folder.reset(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_reset_deletes_a_partial_folder(tmp_path: Path) -> None:
    data_folder.staging_dir(tmp_path / "data" / "postgres").mkdir(parents=True)
    data_folder.reset(tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_reset_keeps_unknown_files(data_dir: Path) -> None:
    (data_dir / "notes.txt").write_text("mine")
    data_folder.reset(data_dir)
    assert [path.name for path in data_dir.iterdir()] == ["notes.txt"]


def test_reset_rejects_a_folder_without_the_mark(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "holiday.jpg").write_text("beach")
    with pytest.raises(LocalError, match="was not made by `make up`"):
        data_folder.reset(tmp_path)
    assert (tmp_path / "postgres" / "holiday.jpg").exists()


def test_reset_rejects_a_symbolic_link(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "postgres").symlink_to(data_dir / "postgres")
    with pytest.raises(LocalError, match="was not made by `make up`"):
        data_folder.reset(tmp_path / "linked")
    assert (data_dir / "postgres" / "PG_VERSION").exists()


def test_reset_deletes_nothing_during_a_run(data_dir: Path) -> None:
    with (
        data_folder.held(data_dir),
        pytest.raises(LocalError, match="another `make up` is running"),
    ):
        data_folder.reset(data_dir)
    assert (data_dir / "postgres" / "PG_VERSION").exists()


def test_reset_deletes_nothing_while_a_server_runs(data_dir: Path) -> None:
    with (
        running_postgres(data_dir),
        pytest.raises(LocalError, match="another PostgreSQL"),
    ):
        data_folder.reset(data_dir)
    assert (data_dir / "postgres" / "PG_VERSION").exists()
