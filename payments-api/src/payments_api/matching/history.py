"""Lists of the history: matches and resolved breaks, of which a page examines a bounded part."""

from typing import Any

from quart import request

from payments_api.auth.item_ids import item_ids
from payments_api.http.errors import ValidationFailed
from payments_api.http.pagination import HiddenPage
from payments_api.http.query_params import Query
from payments_api.matching.lookups import as_of_in
from payments_api.matching.matching_json import (
    break_json,
    break_key,
    key_of_item,
    walk_of_items,
)
from payments_api.services import services
from payments_api.statements.lookups import source_named
from payments_core.domain.matching import BREAK_CLASSES, MATCH_STATUSES
from payments_core.matching.breaks import Break
from payments_core.matching.history import list_matches, list_resolved_breaks, match_json


async def listed_matches(source: str) -> dict[str, Any]:
    """Return a page of matches as the request asks for it."""
    query, ids = Query(request.args, "status", "run", "limit", "cursor"), item_ids()
    status, run = query.choice("status", MATCH_STATUSES) or MATCH_STATUSES[0], query.text("run")
    run_id = None if run is None else ids.number("run", run)
    if run is not None and run_id is None:
        raise ValidationFailed.of("run", f"has {run[:64]}, which is no id of a run")
    scope = {"source": source, "tenant": ids.tenant, "status": status, "run": run}
    page = HiddenPage(services().cursors, query, "matches", scope)
    async with services().load_snapshot() as tx:
        row = await source_named(tx, source)
        found = await list_matches(tx, row.id, page.fetch_limit, status, run_id, page.walk)
    stopped = None if found.stopped_at is None else str(found.stopped_at)
    return page.as_json(
        "matches",
        found.rows,
        lambda each: match_json(each, each.amount, row.currency, ids.shown),
        stopped,
    )


async def resolved_breaks(source: str, query: Query) -> dict[str, Any]:
    """Return a page of resolved breaks as the request asks for it."""
    for name in ("age", "sort"):
        if query.text(name) is not None:
            raise ValidationFailed.of(name, "applies to open breaks only")
    as_of, ids = as_of_in(query), item_ids()
    break_class, assignee = query.choice("class", BREAK_CLASSES), query.text("assignee")
    scope = {
        "source": source,
        "tenant": ids.tenant,
        "status": "resolved",
        "class": break_class,
        "assignee": assignee,
    }
    page = HiddenPage(services().cursors, query, "breaks", scope, key=break_key)
    async with services().load_snapshot() as tx:
        row = await source_named(tx, source)
        found = await list_resolved_breaks(
            tx, row.id, page.fetch_limit, break_class, assignee, walk_of_items(page.walk)
        )
    stopped = None if found.stopped_at is None else str(key_of_item(*found.stopped_at))
    return page.as_json(
        "breaks",
        found.rows,
        lambda each: break_json(Break(each, None), as_of, row.currency, ids),
        stopped,
    )
