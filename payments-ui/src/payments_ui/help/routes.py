"""Help, and the API's own documents, which browsers may be unable to fetch from the API."""

from quart import Blueprint, Response
from quart.typing import ResponseReturnValue

from payments_ui.api.client import api_client
from payments_ui.live.feed import live_feed
from payments_ui.web.responses import render

STYLE = "/api/docs.css"
API_STYLE = "/static/docs.css"

blueprint = Blueprint("help", __name__)


@blueprint.get("/help")
async def index() -> ResponseReturnValue:
    """Explain the page's words and keys, and link to the documents."""
    return await render("help.html", position=live_feed().position)


@blueprint.get("/api/docs")
async def api_docs() -> ResponseReturnValue:
    """Show the API's document for people."""
    html = await api_client().document("/docs")
    return _as(
        html.replace(API_STYLE, STYLE).replace("/openapi.json", "/api/openapi.json"), "text/html"
    )


@blueprint.get(STYLE)
async def api_style() -> ResponseReturnValue:
    """Return the style sheet of the API's document."""
    return _as(await api_client().document(API_STYLE), "text/css")


@blueprint.get("/api/openapi.json")
async def api_openapi() -> ResponseReturnValue:
    """Return the API's document for machines."""
    return _as(await api_client().document("/openapi.json"), "application/json")


def _as(text: str, media_type: str) -> Response:
    return Response(text, content_type=f"{media_type}; charset=utf-8")
