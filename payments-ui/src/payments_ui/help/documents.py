"""Links to this release's documents."""

from importlib.metadata import version
from urllib.parse import quote

from markupsafe import Markup

VERSION = version("payments-ui")


class Documents:
    """The folder docs/ of this release, where it is published; without an address, its paths."""

    def __init__(self, docs_url: str | None) -> None:
        """Link to documents below `docs_url`, in which {version} stands for the release."""
        self._base = docs_url and docs_url.replace("{version}", VERSION).rstrip("/")

    def link(self, path: str, text: str) -> Markup:
        """Return a link to a document, or its text with the path in the repository."""
        if self._base is None:
            return Markup("{} (<code>docs/{}</code>)").format(text, path)
        return Markup('<a href="{}/{}" rel="noreferrer noopener" target="_blank">{}</a>').format(
            self._base, quote(path), text
        )
