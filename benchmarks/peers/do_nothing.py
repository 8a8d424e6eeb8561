"""A Quart app whose one route does nothing, on our server: the limit of Quart and Hypercorn."""

import sys

from quart import Quart

from payments_core.server.options import Lifecycle, ServeOptions
from payments_core.server.run import run, serve


def create_app() -> Quart:
    """Return an app with POST / and GET /readyz, which answer a constant."""
    app = Quart(__name__)

    @app.post("/")
    @app.get("/readyz", endpoint="ready")
    async def nothing() -> dict[str, str]:
        return {"status": "ok"}

    return app


if __name__ == "__main__":
    options = ServeOptions("127.0.0.1", int(sys.argv[1]), drain_seconds=1)
    run(lambda: serve(create_app(), options, Lifecycle()))
