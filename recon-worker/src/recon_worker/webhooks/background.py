"""The worker's tasks of the role webhooks: fan-out, sender, upkeep."""

import asyncio
from collections.abc import Callable

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from payments_core.db.engine import single_statement
from payments_core.domain.events import EVENTS_KEPT_DAYS
from payments_core.domain.webhooks import KEPT_DAYS
from payments_core.repeat import log_failure
from recon_worker.webhooks import metrics
from recon_worker.webhooks.fan_out import Progress, fan_out

FAN_OUT_POLL_SECONDS = 0.25
OBSERVE_SECONDS = 5.0
PRUNE_SECONDS = 60.0
PRUNE_MAX = 2_000  # In one statement, with their attempts.
PRUNE_ROUNDS_MAX = 100
PRUNE_PAUSE_SECONDS = 0.1

# Ids follow the time of creation, so the oldest are found without reading others.
PRUNE = text(f"""
DELETE FROM webhook_deliveries WHERE id = ANY (ARRAY(
    SELECT id FROM (SELECT id, created_at FROM webhook_deliveries ORDER BY id LIMIT {PRUNE_MAX})
        AS oldest
    WHERE created_at < now() - interval '{KEPT_DAYS} days'))""")
PRUNE_DISABLINGS = text(f"""
DELETE FROM webhook_disablings WHERE id = ANY (ARRAY(
    SELECT id FROM webhook_disablings
    WHERE created_at < now() - interval '{EVENTS_KEPT_DAYS} days'
    ORDER BY id LIMIT {PRUNE_MAX}))""")
# With the last of its deliveries and events.
PRUNE_ENDPOINTS = text(f"""
DELETE FROM webhook_endpoints AS endpoint
WHERE deleted_at < now() - interval '{KEPT_DAYS} days'
  AND NOT EXISTS (SELECT FROM webhook_deliveries WHERE endpoint_id = endpoint.id)
  AND NOT EXISTS (SELECT FROM webhook_disablings WHERE endpoint_id = endpoint.id)""")
PRUNE_SECRETS = text("DELETE FROM webhook_secrets WHERE expires_at < now()")


async def fan_out_events(engine: AsyncEngine, wake_sender: Callable[[], None]) -> None:
    """Turn events into deliveries until cancelled; wake the sender when there are new ones."""
    while True:
        progress = Progress()
        try:
            progress = await fan_out(engine)
        except Exception as error:
            log_failure("webhooks_fan_out_failed", error)
        if progress.deliveries:
            wake_sender()
        if not progress.has_more:
            await asyncio.sleep(FAN_OUT_POLL_SECONDS)


async def keep_up(engine: AsyncEngine) -> None:
    """Set the gauges and delete rows past their retention, until cancelled."""
    loop = asyncio.get_running_loop()
    pruned_at = -PRUNE_SECONDS
    while True:
        try:
            await metrics.observe(engine)
            if loop.time() >= pruned_at + PRUNE_SECONDS:
                await prune(engine)
                pruned_at = loop.time()
        except Exception as error:
            log_failure("webhooks_upkeep_failed", error)
        await asyncio.sleep(OBSERVE_SECONDS)


async def prune(engine: AsyncEngine) -> int:
    """Delete old deliveries with their attempts, old events, ended secrets, deleted endpoints.

    Returns the number of deliveries.
    """
    total = 0
    async with single_statement(engine) as connection:
        await connection.execute(PRUNE_SECRETS)
        await connection.execute(PRUNE_DISABLINGS)
        for _ in range(PRUNE_ROUNDS_MAX):
            deleted = (await connection.execute(PRUNE)).rowcount
            total += deleted
            if deleted < PRUNE_MAX:
                break
            await asyncio.sleep(PRUNE_PAUSE_SECONDS)
        await connection.execute(PRUNE_ENDPOINTS)
    return total
