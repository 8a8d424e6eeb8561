"""The page to return to after sign-in: a page of this site, or the home page."""

from urllib.parse import quote, urlsplit

HOME = "/"
CHARS_MAX = 1000
_NOT_PAGES = ("/sign-in", "/sign-out", "/signed-out", "/live", "/static/")


def next_page(text: str | None) -> str:
    """Return the path and query if they certainly belong to this site, else the home page.

    Browsers treat `//host`, `/\\\\host` and paths with tabs or line ends as other sites.
    """
    if not text or len(text) > CHARS_MAX or not text.startswith("/"):
        return HOME
    if text.startswith("//") or not text.isascii() or not text.isprintable() or "\\" in text:
        return HOME
    parts = urlsplit(text)
    if parts.scheme or parts.netloc or parts.path.startswith(_NOT_PAGES):
        return HOME
    return text.partition("#")[0]


def sign_in_path(page: str) -> str:
    """Return the path of the sign-in page that leads to the page."""
    page = next_page(page)
    return "/sign-in" if page == HOME else f"/sign-in?next={quote(page, safe='/')}"
