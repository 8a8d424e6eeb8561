"""What the screenshots show can be stored."""

from testkit.browser.back_office import SQL_WEBHOOKS
from testkit.database.sql import Sql


async def test_the_webhooks_of_the_screenshots_fit_the_schema(sql: Sql) -> None:
    await sql.execute(SQL_WEBHOOKS)
    assert await sql.fetchval("SELECT count(*) FROM webhook_attempts") == 4 * 12 + 8
