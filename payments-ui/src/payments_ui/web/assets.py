"""Static files: addresses that change with their content, so that browsers may keep them."""

import hashlib
from functools import cache
from pathlib import Path

from quart import Quart, Response, request

STATIC = Path(__file__).parents[1] / "static"
YEAR_SECONDS = 365 * 24 * 3600
WEEK_SECONDS = 7 * 24 * 3600


@cache
def static_url(name: str) -> str:
    """The address of a file below static/, with a digest of what is in it."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"


async def _let_browsers_keep(response: Response) -> Response:
    if request.endpoint == "static" and response.status_code == 200:
        if "v" in request.args:
            kept = f"public, max-age={YEAR_SECONDS}, immutable"
        elif request.path.endswith(".woff2"):
            kept = f"public, max-age={WEEK_SECONDS}"  # Named in fonts.css, without a digest.
        else:
            kept = "no-cache"
        response.headers["Cache-Control"] = kept
    return response


def install_assets(app: Quart) -> None:
    """Give templates `static_url`, and static answers their caching headers."""
    app.jinja_env.globals["static_url"] = static_url
    app.after_request(_let_browsers_keep)
