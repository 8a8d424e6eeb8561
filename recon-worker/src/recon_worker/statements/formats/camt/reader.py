"""Reader of camt.052, camt.053 and camt.054, all versions, by local names.

Elements become lines and leave memory one transaction at a time.
"""

from collections.abc import Iterable, Iterator, Mapping
from xml.etree.ElementTree import Element  # nosec B405 - the class: expat parses

from payments_core.statements.csv_profile import declared_encoding
from recon_worker.statements.formats.camt.statement import STATEMENT_OF, CamtStatement
from recon_worker.statements.formats.camt.xml import SafeXml
from recon_worker.statements.formats.model import Event
from recon_worker.statements.formats.source import Source

_NONE = 0  # No element is this deep.


def read_camt(source: Source, profile: Mapping[str, object] | None) -> Iterator[Event]:
    """Yield the events of a camt file. Raises MalformedStatement and ProfileError."""
    return _Document(source, declared_encoding(profile)).xml.events()


class _Document:
    """The message that is open, and the statement in it."""

    shown_within = "TxDtls"

    def __init__(self, source: Source, declared: str | None) -> None:
        self.position = "start of file"
        self.shown_whole = _NONE
        self.xml = SafeXml(source, declared, self)
        self._base = _NONE  # Depth of the message element, such as BkToCstmrStmt, while it is open.
        self._number = 0
        self._statement: CamtStatement | None = None

    def opened(self, open_elements: list[Element]) -> None:
        """Take the start of the last of the open elements."""
        depth = len(open_elements)
        if not self._base:
            if open_elements[-1].tag in STATEMENT_OF:
                self._base, self.shown_whole = depth, depth + 2  # Message, statement, entry.
        elif depth == self._base + 1:
            message, element = open_elements[-2].tag, open_elements[-1].tag
            if element == STATEMENT_OF[message]:
                self._number += 1
                self._statement = CamtStatement(self._number, element, self.xml.full_name(message))
                self.position = self._statement.position

    def closed(self, element: Element, depth: int) -> Iterable[Event]:
        """Take an element that has ended at this depth; return the events it completes."""
        statement = self._statement
        if depth == self._base:
            self._base = self.shown_whole = _NONE
        elif statement is None or not self._base:
            return ()
        elif depth == self._base + 1:
            self._statement = None
            return statement.end(self.xml.encoding)
        elif depth == self._base + 2:
            return statement.child(element)
        return ()

    def within(self, whole: Element, element: Element) -> bool:
        """Take an element that has ended within a whole one; return whether it may be removed."""
        parts = whole[-1]
        if not len(parts) or parts[-1] is not element:
            return False
        if self._statement and whole.tag == "Ntry":
            self._statement.transaction(whole, element)
        return True
