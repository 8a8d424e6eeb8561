"""The Postgres image built from Debian packages can replace the official one."""

import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from testcontainers.community.postgres import PostgresContainer

pytestmark = pytest.mark.engine

IMAGE = "payments-airgap/postgres:17"


@pytest.fixture(autouse=True)
def _built(monkeypatch: pytest.MonkeyPatch) -> None:
    found = subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, check=False)
    if found.returncode != 0:
        pytest.skip("no base images here: make airgap builds them")
    # The reaper needs another image, which a site without a registry does not have.
    monkeypatch.setattr("testcontainers.core.config.testcontainers_config.ryuk_disabled", True)


def docker(*arguments: str, check: bool = True) -> str:
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert not check or done.returncode == 0, done.stderr
    return done.stdout + done.stderr


class Server:
    def __init__(self, *options: str) -> None:
        self.name = f"payments-test-{uuid.uuid4().hex[:8]}"
        docker("run", "--detach", "--name", self.name, *options, IMAGE)

    def psql(self, statement: str, user: str = "postgres", database: str = "postgres") -> str:
        options = ("-U", user, "-d", database, "-tAc", statement)
        return docker("exec", self.name, "psql", *options).strip()

    def wait(self) -> None:
        for _ in range(150):
            if docker("exec", self.name, "pg_isready", "-h", "127.0.0.1", check=False).count(
                "accepting"
            ):
                return
            time.sleep(0.2)
        raise AssertionError(docker("logs", self.name))

    def logs(self) -> str:
        return docker("logs", self.name)


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    made: list[Server] = []
    yield made
    for server in made:
        docker("rm", "--force", "--volumes", server.name, check=False)


def test_testcontainers_uses_it_like_the_official_image() -> None:
    with PostgresContainer(IMAGE, username="u", password="p", dbname="shop", driver=None) as server:
        status, log = server.exec(["psql", "-U", "u", "-d", "shop", "-tAc", "SELECT 17"])
        assert (status, log) == (0, b"17\n")
        assert server.get_connection_url().startswith("postgresql://u:p@")


def test_a_password_is_read_from_a_file(servers: list[Server], tmp_path: Path) -> None:
    (tmp_path / "password").write_text("from-a-file\n")
    (tmp_path / "password").chmod(0o444)
    tmp_path.chmod(0o755)
    options = (
        "--volume",
        f"{tmp_path}:/given:ro",
        "--env",
        "POSTGRES_PASSWORD_FILE=/given/password",
    )
    server = Server(*options, "--env", "POSTGRES_DB=payments")
    servers.append(server)
    server.wait()
    for password, expected in (("from-a-file", "1"), ("another", "password authentication failed")):
        address = docker(
            "inspect", "--format", "{{.NetworkSettings.IPAddress}}", server.name
        ).strip()
        url = f"postgresql://postgres:{password}@{address}/payments"
        assert expected in docker(
            "run", "--rm", IMAGE, "psql", url, "-tAc", "SELECT 1", check=False
        )
    assert "from-a-file" not in server.logs()


def test_without_a_password_the_error_names_the_variable(servers: list[Server]) -> None:
    server = Server()
    servers.append(server)
    docker("wait", server.name)
    assert "no password: set POSTGRES_PASSWORD_FILE or POSTGRES_PASSWORD" in server.logs()


def test_postgres_needs_no_root_no_capability_and_no_writable_root(servers: list[Server]) -> None:
    server = Server(
        *("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
        *("--tmpfs", "/tmp", "--tmpfs", "/var/run/postgresql:mode=3777"),
        *("--env", "POSTGRES_PASSWORD=x"),
    )
    servers.append(server)
    server.wait()
    assert docker("exec", server.name, "id", "-u").strip() == "999"


def test_a_stop_is_fast_and_clean_and_keeps_the_data(servers: list[Server]) -> None:
    server = Server("--env", "POSTGRES_PASSWORD=x")
    servers.append(server)
    server.wait()
    server.psql("CREATE TABLE kept AS SELECT 7 AS number")
    started = time.monotonic()
    docker("stop", server.name)
    assert time.monotonic() - started < 5
    assert docker("inspect", "--format", "{{.State.ExitCode}}", server.name).strip() == "0"
    docker("start", server.name)
    server.wait()
    assert server.psql("SELECT number FROM kept") == "7"
    assert "automatic recovery" not in server.logs()


def test_an_interrupted_first_start_is_repeated(servers: list[Server]) -> None:
    volume = f"payments-test-{uuid.uuid4().hex[:8]}"
    mount = ("--volume", f"{volume}:/var/lib/postgresql/data")
    try:
        halfway = "mkdir $PGDATA/.making $PGDATA/base && echo half >$PGDATA/base/x"
        docker("run", "--rm", *mount, IMAGE, "sh", "-c", halfway)
        server = Server(*mount, "--env", "POSTGRES_PASSWORD=x")
        servers.append(server)
        server.wait()
        assert server.psql("SELECT 1") == "1"
    finally:
        for server in servers:
            docker("rm", "--force", server.name, check=False)
        docker("volume", "rm", volume, check=False)


def test_the_hosts_certificates_are_in_the_image() -> None:
    bundle = Path(os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt"))
    inside = docker("run", "--rm", IMAGE, "cat", "/etc/ssl/certs/ca-certificates.crt")
    assert inside == bundle.read_text()
