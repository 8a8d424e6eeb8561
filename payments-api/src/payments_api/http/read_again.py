"""One quiet retry of reads: a session that died while it was idle costs its finder no 503."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from quart import Quart

from payments_core.db.engine import is_connection_lost

Handler = Callable[..., Awaitable[Any]]

READING = frozenset({"GET", "HEAD", "OPTIONS"})


def retry_reads(app: Quart) -> None:
    """Let each route that only reads be tried on a second session where the first was lost."""
    methods: dict[str, set[str]] = {}
    for rule in app.url_map.iter_rules():
        methods.setdefault(rule.endpoint, set()).update(rule.methods or ())
    for endpoint, taken in methods.items():
        if taken <= READING:
            app.view_functions[endpoint] = _twice(app.ensure_async(app.view_functions[endpoint]))


def _twice(read: Handler) -> Handler:
    @wraps(read)
    async def read_again(**arguments: Any) -> Any:
        try:
            return await read(**arguments)
        except Exception as error:
            if not is_connection_lost(error):
                raise
        return await read(**arguments)

    return read_again
