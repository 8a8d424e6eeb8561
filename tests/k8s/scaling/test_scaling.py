"""The services' scalers use the right query, and stay within Postgres' connections."""

import json
import re
from typing import Any

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_api.settings import ApiSettings
from payments_core.db.engine import server_settings, single_statement
from payments_core.queue import jobs
from payments_local.settings import REPOSITORY
from recon_worker.settings import WorkerSettings
from testkit.database.backlog import add_simple
from testkit.database.sql import Sql
from testkit.deployments.k8s_manifests import FULLEST, K8S, build, combination, one, overlay

OBJECTS = combination(FULLEST)
SCALED = one(OBJECTS, "ScaledObject", "recon-worker")["spec"]
TRIGGER = SCALED["triggers"][0]["metadata"]
CLUSTER = one(OBJECTS, "Cluster", "payments-db")["spec"]
POOLER = one(OBJECTS, "Pooler", "payments-db-pooler")["spec"]
# Reserved for the migration, the auditor, KEDA, operators and replication.
CONNECTIONS_KEPT = 25
# Beside one for each lane, in the pools of recon_worker.app: the worker's, imports, webhooks.
WORKER_EXTRA = 9 + 1 + 4


async def backlog_by_keda(url: str) -> int:
    """Run KEDA's query with KEDA's role."""
    connection = await asyncpg.connect(url.replace("postgres@", "payments_readonly@"))
    try:
        return int(await connection.fetchval(TRIGGER["query"]))
    finally:
        await connection.close()


async def test_an_idle_queue_needs_no_worker(database_url: str) -> None:
    assert await backlog_by_keda(database_url) == 0
    assert SCALED["minReplicaCount"] == 0
    assert float(TRIGGER["activationTargetQueryValue"]) == 0


async def test_ready_and_claimed_jobs_count_and_scheduled_jobs_do_not(
    database_url: str, sql: Sql, engine: AsyncEngine
) -> None:
    await add_simple(sql, 10)
    assert await backlog_by_keda(database_url) == 10
    async with single_statement(engine) as connection:
        await jobs.claim(connection, jobs.new_lease("w", 10), 4)
    assert await backlog_by_keda(database_url) == 10, (
        "workers with claimed jobs are not scaled away"
    )
    await sql.execute(
        "UPDATE recon_jobs SET run_at = now() + interval '1 hour' WHERE status = 'pending'"
    )
    assert await backlog_by_keda(database_url) == 4, "a retry in an hour needs no worker now"


async def test_keda_reads_two_partial_indexes_and_no_table(database_url: str, sql: Sql) -> None:
    await add_simple(sql, 3_000)
    await sql.execute("UPDATE recon_jobs SET status = 'completed' WHERE id > 20")
    await sql.execute("VACUUM ANALYZE recon_jobs")
    plan = "\n".join(row[0] for row in await sql.fetch(f"EXPLAIN {TRIGGER['query']}"))
    assert "recon_jobs_claimable" in plan
    assert "recon_jobs_leased" in plan
    assert "Seq Scan" not in plan


async def test_kedas_role_can_only_read(database_url: str, sql: Sql) -> None:
    connection = await asyncpg.connect(database_url.replace("postgres@", "payments_readonly@"))
    try:
        await connection.execute("SET default_transaction_read_only = off")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("DELETE FROM recon_jobs")
    finally:
        await connection.close()


def most_replicas(name: str) -> int:
    found = one(OBJECTS, "HorizontalPodAutoscaler", name)["spec"]["maxReplicas"]
    return int(found) + 1  # One more during a rollout.


def test_at_full_scale_postgres_has_enough_connections() -> None:
    api_connections = ApiSettings().pool_size + 1  # One more connection listens.
    pooled = POOLER["instances"] * int(POOLER["pgbouncer"]["parameters"]["default_pool_size"])
    used = most_replicas("payments-api") * api_connections + pooled + CONNECTIONS_KEPT
    assert used <= int(CLUSTER["postgresql"]["parameters"]["max_connections"])


def test_the_pooler_accepts_every_worker() -> None:
    each = WorkerSettings().concurrency + WORKER_EXTRA
    clients = (SCALED["maxReplicaCount"] + 1) * each
    assert clients <= int(POOLER["pgbouncer"]["parameters"]["max_client_conn"])


def test_the_local_overlays_postgres_has_enough_connections() -> None:
    objects = overlay("local")
    (container,) = one(objects, "StatefulSet", "postgres")["spec"]["template"]["spec"]["containers"]
    (most,) = (a for a in container["args"] if a.startswith("max_connections="))
    api = one(objects, "Deployment", "payments-api")["spec"]["replicas"] + 1
    worker = one(objects, "Deployment", "recon-worker")["spec"]["replicas"] + 1
    used = api * (ApiSettings().pool_size + 1) + worker * (
        WorkerSettings().concurrency + WORKER_EXTRA
    )
    assert used + CONNECTIONS_KEPT <= int(most.partition("=")[2])


async def test_a_role_behind_the_pooler_has_the_settings_that_pgbouncer_drops(sql: Sql) -> None:
    """Each start-up setting of a direct connection is kept by PgBouncer or the role's default."""
    kept_by_pgbouncer = {"application_name", "timezone", "datestyle"}  # It tracks these itself.
    wanted = {
        name: value
        for name, value in server_settings("recon-worker").items()
        if name not in kept_by_pgbouncer
    }
    ignored = POOLER["pgbouncer"]["parameters"]["ignore_startup_parameters"].split(",")
    assert wanted.keys() <= set(ignored)
    pattern = re.compile(r"ALTER ROLE payments_worker SET (\w+) = '(.*)'")
    statements = map(pattern.fullmatch, CLUSTER["bootstrap"]["initdb"]["postInitSQL"])
    of_role = {match[1]: match[2] for match in statements if match}
    assert of_role == wanted


def test_the_migration_is_the_owner_whose_role_is_prepared_as_documented() -> None:
    page = (REPOSITORY / "docs/operations/migrations.md").read_text()
    (documented,) = re.findall(r"## Without a superuser.*?```sql\n(.*?)```", page, re.S)
    initdb = CLUSTER["bootstrap"]["initdb"]
    documented = re.sub(r"\bapp\b", initdb["owner"], documented)
    prepared = initdb["postInitSQL"] + initdb["postInitApplicationSQL"]
    wanted = {" ".join(one.split()) for one in documented.split(";") if one.strip()}
    assert wanted <= {" ".join(one.split()) for one in prepared}

    (migration,) = (o for o in OBJECTS if o["metadata"]["name"].startswith("migrate-"))
    (container,) = migration["spec"]["template"]["spec"]["containers"]
    environment = {item["name"]: item.get("value", "") for item in container["env"]}
    assert f"//{initdb['owner']}@" in environment["DATABASE_URL"]
    assert not any(name.startswith("PAYMENTS_DB_") for name in environment)
    assert not CLUSTER["enableSuperuserAccess"]
    managed = {role["name"]: role["passwordSecret"]["name"] for role in CLUSTER["managed"]["roles"]}
    assert managed == {
        "payments_api": "payments-api-database",
        "payments_worker": "recon-worker-database",
        "payments_readonly": "payments-readonly-database",
    }


def test_workers_behind_the_pooler_neither_listen_nor_hold_sessions() -> None:
    worker = one(OBJECTS, "Deployment", "recon-worker")["spec"]["template"]["spec"]
    values = {item["name"]: item.get("value") for item in worker["containers"][0]["env"]}
    assert "@payments-db-pooler:" in str(values["DATABASE_URL"])
    assert values["RECON_WORKER_POLL_ONLY"] == "true"
    # The auditor depends on planner settings of its session.
    assert values["RECON_WORKER_AUDIT_INTERVAL_SECONDS"] == "0"
    for name in ("payments-api", "audit", "seal-audit", "migrate"):
        for item in OBJECTS:
            if item["metadata"]["labels"].get("app.kubernetes.io/name") == name:
                assert "payments-db-pooler:" not in json.dumps(item)


def test_the_database_is_replicated_before_a_payment_is_answered() -> None:
    assert CLUSTER["instances"] == 3
    synchronous = CLUSTER["postgresql"]["synchronous"]
    assert synchronous["number"] >= 1
    assert synchronous["dataDurability"] == "required"
    assert CLUSTER["affinity"]["podAntiAffinityType"] == "required"
    assert "StatefulSet" not in {item["kind"] for item in OBJECTS}


def restored_cluster() -> dict[str, Any]:
    """Return the Cluster that a restore makes."""
    objects = build(K8S / "components/cloudnative-pg/restore")
    return one(objects, "Cluster", "payments-db-restored")


def test_a_restored_database_has_the_original_roles_and_no_superuser() -> None:
    spec, original = restored_cluster()["spec"], CLUSTER["bootstrap"]["initdb"]
    assert spec["enableSuperuserAccess"] is False
    assert "superuserSecret" not in spec
    recovery = spec["bootstrap"]["recovery"]
    for field in ("database", "owner", "secret"):
        assert recovery[field] == original[field]
    assert spec["managed"] == CLUSTER["managed"]


def test_the_restore_reads_from_where_the_backup_writes() -> None:
    restored = restored_cluster()
    (source,) = restored["spec"]["externalClusters"]
    parameters: dict[str, Any] = source["plugin"]["parameters"]
    assert restored["spec"]["bootstrap"]["recovery"]["source"] == source["name"]
    assert parameters["serverName"] == "payments-db"
    one(OBJECTS, "ObjectStore", parameters["barmanObjectName"])
    (archiver,) = (p for p in CLUSTER["plugins"] if p.get("isWALArchiver"))
    assert archiver["parameters"]["barmanObjectName"] == parameters["barmanObjectName"]
    backup = one(OBJECTS, "ScheduledBackup", "payments-db-nightly")["spec"]
    assert backup["pluginConfiguration"]["name"] == archiver["name"] == source["plugin"]["name"]
    assert restored["spec"]["imageCatalogRef"] == CLUSTER["imageCatalogRef"]
    # With fewer connections than the original, Postgres does not recover.
    ours, theirs = (
        int(spec["postgresql"]["parameters"]["max_connections"])
        for spec in (restored["spec"], CLUSTER)
    )
    assert ours >= theirs


def test_monitors_produce_the_job_names_that_the_rules_use() -> None:
    rules = (REPOSITORY / "observability" / "operator" / "prometheus-rule.yaml").read_text()
    named = set(re.findall(r'job="([\w-]+)"', rules))
    services = {
        item["metadata"]["labels"]["app.kubernetes.io/name"]: item["spec"]
        for item in OBJECTS
        if item["kind"] == "ServiceMonitor"
    }
    assert services.keys() == {"payments-api", "recon-worker", "payments-ui"}
    assert named & {"payments-api", "recon-worker", "payments-ui"}
    for name, monitor in services.items():
        service = one(OBJECTS, "Service", name)
        wanted = monitor["selector"]["matchLabels"].items()
        assert wanted <= service["metadata"]["labels"].items()
        assert monitor["jobLabel"] == "app.kubernetes.io/name"
        (endpoint,) = monitor["endpoints"]
        assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
