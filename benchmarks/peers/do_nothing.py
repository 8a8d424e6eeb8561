"""A Quart app whose one route does nothing, on our own server: what Quart and Hypercorn leave."""

import sys

from quart import Quart

from payments_core.server.options import Lifecycle, ServeOptions
from payments_core.server.run import run, serve


def create_app() -> Quart:
    """POST / and GET /readyz, both with a constant answer."""
    app = Quart(__name__)

    @app.post("/")
    @app.get("/readyz", endpoint="ready")
    async def nothing() -> dict[str, str]:
        return {"status": "ok"}

    return app


if __name__ == "__main__":
    options = ServeOptions("127.0.0.1", int(sys.argv[1]), drain_seconds=1)
    run(lambda: serve(create_app(), options, Lifecycle()))
