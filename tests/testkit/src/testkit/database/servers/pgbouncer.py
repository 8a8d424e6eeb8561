"""PgBouncer's files, with the manifests' parameters."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROLE = "payments_worker"


def write_pgbouncer(
    folder: Path, spec: Mapping[str, Any], port: int, postgres_port: int, seen_as: str
) -> None:
    """Write pgbouncer.ini and users.txt. `spec` is the Pooler's, `seen_as` PgBouncer's path."""
    lines = [
        "[databases]",
        f"payments = host=127.0.0.1 port={postgres_port}",
        "[pgbouncer]",
        "listen_addr = 127.0.0.1",
        f"listen_port = {port}",
        "unix_socket_dir =",
        "auth_type = trust",
        f"auth_file = {seen_as}/users.txt",
        f"pool_mode = {spec['poolMode']}",
        *(f"{name} = {value}" for name, value in spec["parameters"].items()),
    ]
    (folder / "pgbouncer.ini").write_text("\n".join(lines) + "\n")
    (folder / "users.txt").write_text(f'"{ROLE}" ""\n')
