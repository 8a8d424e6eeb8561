"""A real Prometheus with our own configuration, aimed at processes on this machine."""

import json
import os
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import yaml

from payments_local.ports import free_port

OBSERVABILITY = Path(__file__).resolve().parents[2] / "observability"
READY_SECONDS_MAX = 30.0


def require(program: str) -> str:
    """Where the program is; the test is skipped, or fails under REQUIRE=prometheus, without."""
    found = shutil.which(program)
    if found is None:
        reason = f"{program} is not installed (Debian: apt install prometheus)"
        if "prometheus" in os.environ.get("REQUIRE", "").split(","):
            pytest.fail(f"REQUIRE=prometheus, and {reason}")
        pytest.skip(reason)
    return found


@dataclass
class Prometheus:
    """A running server. `at` is the moment, in Unix time, that queries look at."""

    url: str
    at: float | None = None

    def get(self, path: str, **parameters: str) -> Any:
        """The `data` of an API answer. Raises where Prometheus refuses the query."""
        query = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from None

    def query(self, expr: str) -> list[Any]:
        """The samples of an instant query."""
        moment = {} if self.at is None else {"time": str(self.at)}
        samples: list[Any] = self.get("query", query=expr, **moment)["result"]
        return samples


def configuration(targets: Mapping[str, list[int]], folder: Path) -> Path:
    """Our prometheus.yaml with our rules, its targets by DNS replaced, and more impatient."""
    config = yaml.safe_load((OBSERVABILITY / "prometheus/prometheus.yaml").read_text())
    config["global"] = {
        "scrape_interval": "1s",
        "scrape_timeout": "1s",
        "evaluation_interval": "2s",
    }
    config["rule_files"] = [str(OBSERVABILITY / "prometheus" / f) for f in config["rule_files"]]
    config["scrape_configs"] = [
        {
            "job_name": job["job_name"],
            "static_configs": [
                {"targets": [f"127.0.0.1:{port}" for port in targets[job["job_name"]]]}
            ],
        }
        for job in config["scrape_configs"]
        if job["job_name"] in targets
    ]
    path = folder / "prometheus.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@contextmanager
def prometheus_server(
    targets: Mapping[str, list[int]], folder: Path, port: int | None = None
) -> Iterator[Prometheus]:
    """Scrape the ports of each job until the block ends."""
    port = port or free_port()
    command = [
        require("prometheus"),
        f"--config.file={configuration(targets, folder)}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage",
        "--log.level=warn",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    server = Prometheus(f"http://127.0.0.1:{port}")
    try:
        _wait_until_ready(server, process)
        yield server
    finally:
        process.terminate()
        process.wait(20)


def _wait_until_ready(server: Prometheus, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while True:
        try:
            with urllib.request.urlopen(f"{server.url}/-/ready", timeout=2) as answer:
                if answer.status == 200:
                    return
        except (URLError, OSError):
            pass
        assert process.poll() is None, "Prometheus ended: see prometheus.log"
        assert time.monotonic() < deadline, "Prometheus is not ready"
        time.sleep(0.1)
