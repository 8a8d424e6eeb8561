"""`recon-worker audit` as an operator runs it."""

import asyncio
import sys


async def audit_command(url: str, *words: str) -> tuple[int | None, str]:
    """Return its exit status and output; it gets only the database's URL."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "recon_worker", "audit", *words),
        env={"DATABASE_URL": url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()
