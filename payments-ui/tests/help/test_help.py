"""The help page, links to the release's documents, and the API's documents served by the page."""

import httpx2
import pytest

from payments_ui.help.documents import VERSION, Documents
from payments_ui.payments.filters import OUTCOMES
from payments_ui.web.formatting import ATTENTION
from testkit.sign_in.page_browser import app_with

DOCS = '<link rel="stylesheet" href="/static/docs.css"><a href="/openapi.json">'


def answer(request: httpx2.Request) -> httpx2.Response:
    texts = {"/docs": DOCS, "/static/docs.css": "a {}", "/openapi.json": "{}"}
    text = texts.get(request.url.path)
    return httpx2.Response(503) if text is None else httpx2.Response(200, text=text)


@pytest.mark.parametrize(
    ("docs_url", "shown"),
    [
        (None, "Runbooks (<code>docs/runbooks/README.md</code>)"),
        ("https://e.test/v{version}/docs/", f'href="https://e.test/v{VERSION}/docs/runbooks/REA'),
    ],
)
def test_a_document_is_linked_where_it_is_published(docs_url: str | None, shown: str) -> None:
    assert shown in Documents(docs_url).link("runbooks/README.md", "Runbooks")


async def test_help_needs_no_api_and_every_page_links_to_it() -> None:
    client = app_with().test_client()
    for path in ("/help", "/nothing"):
        page = await (await client.get(path)).get_data(as_text=True)
        assert f"Payments {VERSION}" in page
        assert 'href="/help"' in page
        assert 'href="/api/docs"' in page
    assert (await client.get("/help")).status_code == 200


async def test_help_explains_every_badge() -> None:
    page = await (await app_with().test_client().get("/help")).get_data(as_text=True)
    for kind in (*OUTCOMES, ATTENTION):
        assert f"badge-{kind}" in page


@pytest.mark.parametrize(
    ("path", "media_type", "text"),
    [
        ("/api/docs", "text/html", 'href="/api/docs.css"><a href="/api/openapi.json">'),
        ("/api/docs.css", "text/css", "a {}"),
        ("/api/openapi.json", "application/json", "{}"),
    ],
)
async def test_the_apis_documents_are_served_by_the_page(
    path: str, media_type: str, text: str
) -> None:
    transport = httpx2.MockTransport(answer)
    found = await app_with(transport=transport).test_client().get(path)
    assert found.status_code == 200
    assert found.mimetype == media_type
    assert text in await found.get_data(as_text=True)
    assert "default-src 'none'" in found.headers["Content-Security-Policy"]
    assert (await app_with().test_client().get(path)).status_code == 503
