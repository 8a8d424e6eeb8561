"""schemathesis as a separate process against a running API, and its output."""

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from payments_local.settings import REPOSITORY
from testkit.fuzz.schemathesis_hooks import CREATED_FILE

HERE = Path(__file__).parent
DOCUMENT = REPOSITORY / "docs" / "openapi.json"
EVENTS = "/payments/events"  # A stream never ends, so separate tests cover it.


@dataclass(frozen=True, slots=True)
class Fuzzed:
    """The output of schemathesis, whether it found nothing, and the created payments."""

    clean: bool
    report: str
    created: frozenset[str]


async def fuzz_api(url: str, key: str, folder: Path, *options: str) -> Fuzzed:
    """Send requests to this API that its document allows, and others."""
    created = folder / "created.txt"
    created.touch()
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("schemathesis")),
        f"--config-file={HERE / 'schemathesis.toml'}",
        "run",
        str(DOCUMENT),
        f"--url={url}",
        f"--header=Authorization: Bearer {key}",
        "--checks=all",
        f"--exclude-path={EVENTS}",
        "--continue-on-failure",
        "--no-color",
        *options,
        cwd=folder,
        env=os.environ | {CREATED_FILE: str(created)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return Fuzzed(process.returncode == 0, said.decode(), frozenset(created.read_text().split()))
