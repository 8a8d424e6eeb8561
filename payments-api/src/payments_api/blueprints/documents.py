"""/openapi.json for machines and /docs for people: both made from the code that serves them."""

from quart import Blueprint, current_app, render_template
from quart.typing import ResponseReturnValue

from payments_api.openapi import document

documents = Blueprint("documents", __name__, template_folder="../templates")


@documents.get("/openapi.json")
async def get_openapi() -> ResponseReturnValue:
    """The OpenAPI 3.1 document."""
    return document(current_app)


@documents.get("/docs")
async def get_docs() -> ResponseReturnValue:
    """The same document as a page."""
    page = await render_template("docs.html", document=document(current_app))
    policy = "default-src 'none'; style-src 'self'"
    return page, {"Content-Security-Policy": policy}
