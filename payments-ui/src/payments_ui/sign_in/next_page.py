"""Where somebody wanted to go before signing in: a page of ours, or the first one."""

from urllib.parse import quote, urlsplit

HOME = "/"
CHARS_MAX = 1000
_NOT_PAGES = ("/sign-in", "/sign-out", "/signed-out", "/live", "/static/")


def next_page(text: str | None) -> str:
    """The path and query, if they certainly are of this site; else the first page.

    Browsers take `//host`, `/\\\\host` and paths with tabs or line ends for other sites'.
    """
    if not text or len(text) > CHARS_MAX or not text.startswith("/"):
        return HOME
    if text.startswith("//") or not text.isascii() or not text.isprintable() or "\\" in text:
        return HOME
    parts = urlsplit(text)
    if parts.scheme or parts.netloc or parts.path.startswith(_NOT_PAGES):
        return HOME
    return text.partition("#")[0]


def sign_in_path(wanted: str) -> str:
    """The sign-in page that leads on to what was wanted."""
    page = next_page(wanted)
    return "/sign-in" if page == HOME else f"/sign-in?next={quote(page, safe='/')}"
