"""Fixtures that several tests of the worker share."""

import pytest

from recon_worker.audit import auditor
from testkit.database.backlog import Sql
from testkit.database.settled_ledger import settle_four


@pytest.fixture
async def settled(sql: Sql, worker_url_of_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four payments, settled in order; the auditor looks at the youngest payments too."""
    monkeypatch.setattr(auditor, "PAYMENT_SETTLES_IN_SECONDS", -60)
    await settle_four(sql, worker_url_of_database)
