"""The page's own API key: the migration registers it."""

from payments_api.auth.caller import SCOPES
from payments_api.auth.keys import KeyGrant, KeyRevoked, ensure_key, id_of
from payments_core.audit_log import Operator, record_action, this_user
from payments_core.db.engine import create_engine, transaction

PAGE_KEY_NAME = "payments-ui"


async def register_page(dsn: str, key: str) -> str:
    """Store the page's key unless it exists; return the outcome. Raises KeyRefused.

    A revoked key stays revoked and is no failure: the migration runs again with the same Secret,
    and a page without a valid key must not keep the schema from its release.
    """
    grant = KeyGrant(PAGE_KEY_NAME, frozenset(SCOPES))
    engine = create_engine(dsn, application_name="payments-keys", pool_size=1)
    try:
        async with transaction(engine) as tx:
            new = await ensure_key(tx, key, grant)
            if new:
                reason = f"{id_of(key)}, {grant.name}"
                await record_action(tx, "create_key", Operator(this_user()), reason)
        return f"key {id_of(key)} of the page is {'registered' if new else 'registered already'}"
    except KeyRevoked as error:
        return f"the page has no valid key: {error}"
    finally:
        await engine.dispose()
