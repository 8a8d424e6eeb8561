"""The growth benchmark's database is one that the worker could have produced."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from benchmarks import dataset
from benchmarks.databases import one_value

from payments_api.migrate import migrate
from payments_local.postgres import EmbeddedPostgres
from testkit.database.another import another_database

PAYMENTS = 10_000


@pytest.fixture(scope="module")
def loaded(postgres: EmbeddedPostgres) -> Iterator[str]:
    """Yield the URL of a separate database with the loaded dataset."""
    with another_database(postgres.url, "dataset") as url:
        asyncio.run(_load(url))
        yield url


async def _load(url: str) -> None:
    await migrate(url)
    await dataset.load(url, PAYMENTS)


def test_the_auditor_accepts_every_row(loaded: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "recon_worker", "audit", "--full"],
        env={**os.environ, "DATABASE_URL": loaded},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dataset_has_the_requested_rows(loaded: str) -> None:
    assert one_value(loaded, "SELECT count(*) FROM payments") == PAYMENTS
    assert one_value(loaded, "SELECT count(*) FROM ledger_entries") == 2 * PAYMENTS


def test_an_indivisible_number_is_rejected() -> None:
    with pytest.raises(ValueError, match="multiple of 10,000"):
        asyncio.run(dataset.load("postgresql://nowhere", 12_345))
