"""The Kubernetes base's nightly backup: its container's own command, run by the engine."""

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
import yaml

from payments_api.migrate import migrate
from payments_core.db.engine import create_engine
from payments_local.backup import archive
from payments_local.backup.drill import drill
from payments_local.backup.restore import restore
from payments_local.backup.server import Database
from payments_local.settings import REPOSITORY
from testkit.database.backlog import add_simple, until_completed
from testkit.database.ledgers.sealed import seal_all
from testkit.deployments.postgres_container import (
    ContainerDatabase,
    engine_problem,
    image,
    postgres_container,
)
from testkit.worker.own_system import running_worker

pytestmark = pytest.mark.engine

PAYMENTS = 20
ROLES = {"payments_backup": "of-the-backup", "payments_worker": "of-the-worker"}
RECORDED = "SELECT extract(epoch FROM now() - taken_at) < 120 FROM last_backup"


def container() -> dict[str, list[str]]:
    """Return the command of the CronJob's container, and its settings as options of the engine."""
    text = (REPOSITORY / "deploy/k8s/base/backup.yaml").read_text()
    job = next(each for each in yaml.safe_load_all(text) if each["kind"] == "CronJob")
    (found,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    environ = [f"--env={each['name']}={each['value']}" for each in found["env"]]
    return {"command": found["command"], "environ": environ}


@dataclass(frozen=True)
class BackupJob:
    """The CronJob beside a Postgres with settled and sealed payments."""

    database: ContainerDatabase
    folder: Path
    secret: Path

    def run(self, *, keep: int = 7) -> "subprocess.CompletedProcess[str]":
        """Run the container as Kubernetes would: as user 999, with a read-only root."""
        made = container()
        started, *rest = made["command"]
        options = [
            *("--rm", "--read-only", "--user=999:999", "--cap-drop=ALL"),
            "--security-opt=no-new-privileges",
            *("--tmpfs=/tmp", "--tmpfs=/var/lib/postgresql/data"),
            f"--network=container:{self.database.container_id}",
            f"--volume={self.folder}:/backups",
            f"--volume={self.secret}:/run/secrets/database:ro",
            *made["environ"],
            # The Service's name, as the cluster's DNS resolves it.
            "--env=PGHOSTADDR=127.0.0.1",
            f"--env=KEEP={keep}",
        ]
        return subprocess.run(
            ["docker", "run", *options, f"--entrypoint={started}", image(), *rest],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture(scope="module")
def database() -> Iterator[ContainerDatabase]:
    """Postgres in the image that the manifests run."""
    problem = engine_problem()
    if problem is not None:
        if "engine" in os.environ.get("REQUIRE", "").split(","):
            pytest.fail(problem)
        pytest.skip(problem)
    with postgres_container() as running:
        asyncio.run(_settle(running.url))
        yield running


async def _settle(url: str) -> None:
    await migrate(url, passwords=ROLES)
    sql = await asyncpg.connect(url)
    worker = (
        Database(url)
        .sibling("payments")
        .url.replace(
            url.partition("//")[2].partition("@")[0], f"payments_worker:{ROLES['payments_worker']}"
        )
    )
    async with running_worker(worker):
        await add_simple(sql, PAYMENTS)
        await until_completed(sql, PAYMENTS)
    await sql.close()
    engine = create_engine(url, application_name="sealing", pool_size=1)
    while not await seal_all(engine):  # noqa: ASYNC110 - a transaction elsewhere decides it.
        await asyncio.sleep(0.05)
    await engine.dispose()


@pytest.fixture
def job(database: ContainerDatabase, tmp_path: Path) -> BackupJob:
    """The CronJob with an empty volume."""
    folder, secret = tmp_path / "backups", tmp_path / "secret"
    for made in (folder, secret):
        made.mkdir()
        made.chmod(0o777)  # The pod's group owns its volumes.
    (secret / "password").write_text(ROLES["payments_backup"])
    tmp_path.chmod(0o755)
    return BackupJob(database, folder, secret)


def test_its_backup_passes_a_drill_and_can_be_restored(
    job: BackupJob,
) -> None:
    done = job.run()
    assert done.returncode == 0, done.stderr
    (dump,) = archive.complete_backups(job.folder)
    manifest = archive.read_manifest(dump)
    assert manifest.age < timedelta(minutes=2)
    assert {path.stat().st_mode & 0o077 for path in job.folder.iterdir()} == {0}
    held = drill(dump).restored
    assert (held.payments, held.entries, held.sealed) == (PAYMENTS, 2 * PAYMENTS, True)
    beside = Database(job.database.url).sibling("restored")
    try:
        restored, _ = restore(dump, beside)
        assert restored.payments == PAYMENTS
    finally:
        beside.drop()
    assert Database(job.database.url).sql(RECORDED).strip() == "t"


def test_it_keeps_the_newest_backups_and_removes_partial_ones(job: BackupJob) -> None:
    for name, age in (("old", timedelta(days=2)), ("new", timedelta())):
        part = job.folder / f"payments-{name}.dump.partial"
        part.touch()
        at = (datetime.now(UTC) - age).timestamp()
        os.utime(part, (at, at))
    for _ in range(3):
        assert job.run(keep=2).returncode == 0
    kept = archive.complete_backups(job.folder)
    assert len(kept) == 2
    files = {path.name for path in job.folder.iterdir()}
    manifests = {archive.manifest_of(dump).name for dump in kept}
    assert files == {*(dump.name for dump in kept), *manifests, "payments-new.dump.partial"}


@pytest.mark.parametrize("fault", ["password", "volume"])
def test_a_failed_backup_ends_with_an_error_and_leaves_nothing(job: BackupJob, fault: str) -> None:
    before = Database(job.database.url).sql("SELECT taken_at FROM last_backup")
    if fault == "password":
        (job.secret / "password").write_text("another")
    else:
        job.folder.chmod(0o555)
    done = job.run()
    assert done.returncode != 0
    assert done.stderr.strip()
    assert list(job.folder.iterdir()) == []
    assert Database(job.database.url).sql("SELECT taken_at FROM last_backup") == before


def test_its_manifest_has_the_same_fields_as_make_backups(job: BackupJob) -> None:
    assert job.run().returncode == 0
    (dump,) = archive.complete_backups(job.folder)
    fields = json.loads(archive.manifest_of(dump).read_text())
    assert set(fields) == set(archive.Manifest.__dataclass_fields__)
