"""A real Prometheus with our own rules, which scrapes processes on this machine."""

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

OBSERVABILITY = Path(__file__).resolve().parents[1]
READY_SECONDS_MAX = 30.0
STOP_SECONDS_MAX = 20.0


@dataclass
class Prometheus:
    """A running server. Queries look at the moment `at`, in Unix time; None is now."""

    url: str
    at: float | None = None

    def get(self, path: str, **parameters: str) -> Any:
        """Return the `data` of an API answer. Raises ValueError if Prometheus rejects the query."""
        query = urllib.parse.urlencode(parameters)
        url = f"{self.url}/api/v1/{path}?{query}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - http only
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise ValueError(f"{parameters}: {error.read().decode()}") from None

    def query(self, expr: str) -> list[Any]:
        """Return the samples of an instant query."""
        moment = {} if self.at is None else {"time": str(self.at)}
        samples: list[Any] = self.get("query", query=expr, **moment)["result"]
        return samples


def program() -> str | None:
    """Return the path of Prometheus, or None."""
    return shutil.which("prometheus")


def configuration(targets: Mapping[str, Sequence[int]], scrape_seconds: int) -> str:
    """Return our prometheus.yaml with this machine's ports in place of DNS targets."""
    config = yaml.safe_load((OBSERVABILITY / "prometheus/prometheus.yaml").read_text())
    config["global"] = {
        "scrape_interval": f"{scrape_seconds}s",
        "scrape_timeout": f"{scrape_seconds}s",
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
    return str(yaml.safe_dump(config))


@contextmanager
def prometheus_server(
    targets: Mapping[str, Sequence[int]], folder: Path, port: int, scrape_seconds: int = 1
) -> Iterator[Prometheus]:
    """Scrape the ports of each job until the block ends; its files go into the folder."""
    executable = program()
    assert executable is not None, "the caller has looked for it"
    (folder / "prometheus.yaml").write_text(configuration(targets, scrape_seconds))
    command = [
        executable,
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage",
        "--log.level=warn",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603 - our own
    server = Prometheus(f"http://127.0.0.1:{port}")
    try:
        _wait_until_ready(server, process)
        yield server
    finally:
        process.terminate()
        process.wait(STOP_SECONDS_MAX)


def _wait_until_ready(server: Prometheus, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while True:
        try:
            with urllib.request.urlopen(f"{server.url}/-/ready", timeout=2) as answer:  # noqa: S310 - http only
                if answer.status == 200:
                    return
        except OSError:
            pass
        assert process.poll() is None, "Prometheus ended: see its prometheus.log"
        assert time.monotonic() < deadline, "Prometheus is not ready"
        time.sleep(0.1)
