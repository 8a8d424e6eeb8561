"""/openapi.json and /docs: the same document for machines and for people."""

from typing import Any

from quart import Blueprint, Quart, current_app, render_template
from quart.typing import ResponseReturnValue

from payments_api.auth.middleware import PUBLIC, requires
from payments_api.openapi.document import document

documents = Blueprint("documents", __name__, template_folder="../templates")

DOCS_POLICY = "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'"


def _document() -> dict[str, Any]:
    # The app itself: its proxy cannot be the key of a cache.
    app: Quart = current_app._get_current_object()  # type: ignore[attr-defined]  # Of the proxy.
    return document(app)


@documents.get("/openapi.json")
@requires(PUBLIC)
async def get_openapi() -> ResponseReturnValue:
    """Retrieve the OpenAPI 3.1 document."""
    return _document()


@documents.get("/docs")
@requires(PUBLIC)
async def get_docs() -> ResponseReturnValue:
    """Retrieve the OpenAPI document as a web page."""
    page = await render_template("docs.html", document=_document())
    return page, {"Content-Security-Policy": DOCS_POLICY}
