"""The worker's task: import received files, post approved adjustments, match lines."""

import asyncio
import json
import logging
import sys

from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import transaction
from payments_core.repeat import log_failure
from payments_core.statements.receive import remove_abandoned
from recon_worker.statements import metrics
from recon_worker.statements.importing.claim import is_any_due
from recon_worker.statements.matching import background as matching
from recon_worker.statements.matching.adjustments import post_approved

CLEANING_INTERVAL_SECONDS = 3600.0
FILE_SECONDS_MAX = 3600.0  # For one file, whose lines take about a minute for each million.

log = logging.getLogger(__name__)


async def import_received(engine: AsyncEngine, poll_seconds: float) -> None:
    """Import files as they are received, until cancelled; a failed attempt is repeated later."""
    loop = asyncio.get_running_loop()
    cleaned_at = -CLEANING_INTERVAL_SECONDS
    matched_at = -matching.INTERVAL_SECONDS
    while True:
        try:
            if loop.time() >= cleaned_at + CLEANING_INTERVAL_SECONDS:
                async with transaction(engine) as tx:
                    await remove_abandoned(tx)
                cleaned_at = loop.time()
            imported: set[int] = set()
            if await is_any_due(engine):
                await _import_in_process(imported)
            await post_approved(engine)
            if loop.time() >= matched_at + matching.INTERVAL_SECONDS:
                await matching.match_sources(engine)
                matched_at = loop.time()
            elif imported:
                await matching.match_sources(engine, imported)
        except Exception as error:
            log_failure("statement_import_failed", error)
        await asyncio.sleep(poll_seconds)


async def _import_in_process(imported: set[int]) -> None:
    """Import all received files in a process of low priority; add the ids of their sources.

    Reading a large file takes seconds of processor time, which payments need first. A process that
    ends early, hangs, or is stopped because the worker is, leaves its file as it was received.
    """
    command = ("-m", "recon_worker", "statements", "import-received")
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        try:
            await _note_imported(process.stdout, imported)
        except TimeoutError:
            process.kill()  # The file's next attempt is a later one.
        status = await process.wait()
    except BaseException:
        if process.returncode is None:
            process.kill()
        await process.wait()
        raise
    if status:
        # It has written the reason to the standard error, which is the worker's own.
        log.warning("statement_import_ended", extra={"status": status})


async def _note_imported(lines: asyncio.StreamReader, imported: set[int]) -> None:
    """Count each file that the process has imported, until it ends. Raises TimeoutError."""
    while True:
        async with asyncio.timeout(FILE_SECONDS_MAX):
            line = await lines.readline()
        if not line:
            return
        file = json.loads(line)
        imported.add(file.pop("source_id"))
        metrics.FILES_IMPORTED.labels(file["status"]).inc()
        log.info("statement_file_imported", extra=file)
