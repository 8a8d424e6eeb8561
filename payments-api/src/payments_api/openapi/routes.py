"""/openapi.json for machines and /docs for people: both made from the code that serves them."""

from typing import Any

from quart import Blueprint, Quart, current_app, render_template
from quart.typing import ResponseReturnValue

from payments_api.openapi.document import document

documents = Blueprint("documents", __name__, template_folder="../templates")

DOCS_POLICY = "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'"


def _document() -> dict[str, Any]:
    # The app itself: the proxy of it cannot be a cache's key.
    app: Quart = current_app._get_current_object()  # type: ignore[attr-defined]  # Of the proxy.
    return document(app)


@documents.get("/openapi.json")
async def get_openapi() -> ResponseReturnValue:
    """The OpenAPI 3.1 document."""
    return _document()


@documents.get("/docs")
async def get_docs() -> ResponseReturnValue:
    """The same document as a page."""
    page = await render_template("docs.html", document=_document())
    return page, {"Content-Security-Policy": DOCS_POLICY}
