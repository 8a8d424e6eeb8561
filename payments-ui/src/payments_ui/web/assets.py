"""Static files, with URLs that change with the content: browsers may cache them."""

import hashlib
from functools import cache
from pathlib import Path

from quart import Quart, Response, request

STATIC = Path(__file__).parents[1] / "static"
YEAR_SECONDS = 365 * 24 * 3600
WEEK_SECONDS = 7 * 24 * 3600


@cache
def static_url(name: str) -> str:
    """Return the URL of a file in static/, with a digest of its content."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"


async def _set_cache_control(response: Response) -> Response:
    if request.endpoint == "static" and response.status_code == 200:
        if "v" in request.args:
            cache_control = f"public, max-age={YEAR_SECONDS}, immutable"
        elif request.path.endswith(".woff2"):
            cache_control = (
                f"public, max-age={WEEK_SECONDS}"  # fonts.css refers to fonts without a digest.
            )
        else:
            cache_control = "no-cache"
        response.headers["Cache-Control"] = cache_control
    return response


def install_assets(app: Quart) -> None:
    """Give templates `static_url`, and static files their caching headers."""
    app.jinja_env.globals["static_url"] = static_url
    app.after_request(_set_cache_control)
