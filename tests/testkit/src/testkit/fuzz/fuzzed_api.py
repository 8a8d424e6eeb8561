"""schemathesis as its own process against an API that listens, and what it says."""

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from payments_local.settings import REPOSITORY
from testkit.fuzz.schemathesis_hooks import CREATED_FILE

HERE = Path(__file__).parent
DOCUMENT = REPOSITORY / "docs" / "openapi.json"
EVENTS = "/payments/events"  # Never ends, so it has tests of its own.


@dataclass(frozen=True, slots=True)
class Fuzzed:
    """What schemathesis printed, whether it found nothing, and the payments that it made."""

    clean: bool
    report: str
    created: frozenset[str]


async def fuzz_api(url: str, key: str, folder: Path, *options: str) -> Fuzzed:
    """Ask this API everything that its document allows, and what it does not."""
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
