"""Reader of camt.052, camt.053 and camt.054, all versions, by local names.

Elements become lines and leave memory one transaction at a time.
"""

from collections.abc import Iterable, Iterator, Mapping
from xml.etree.ElementTree import Element  # nosec B405 - the class: expat parses

from payments_core.statements.csv_profile import declared_encoding
from recon_worker.statements.formats.camt.statement import STATEMENT_OF, CamtStatement
from recon_worker.statements.formats.camt.xml import DEPTH_MAX, SafeXml
from recon_worker.statements.formats.model import Event
from recon_worker.statements.formats.source import Source

_NEVER = DEPTH_MAX + 1


def read_camt(source: Source, profile: Mapping[str, object] | None) -> Iterator[Event]:
    """Yield the events of a camt file. Raises MalformedStatement and ProfileError."""
    return _Document(source, declared_encoding(profile)).xml.events()


class _Document:
    """The message that is open, and the statement in it."""

    shown_within = "TxDtls"

    def __init__(self, source: Source, declared: str | None) -> None:
        self.xml = SafeXml(source, declared, self)
        self.position = "start of file"
        self.kept_from = _NEVER
        self._base = 0  # Depth of the message element, such as BkToCstmrStmt, while it is open.
        self._number = 0
        self._statement: CamtStatement | None = None

    def opened(self, open_elements: list[Element]) -> None:
        """Take the start of the last of the open elements."""
        depth = len(open_elements)
        if not self._base:
            if open_elements[-1].tag in STATEMENT_OF:
                self._base, self.kept_from = depth, depth + 3  # Message, statement, entry, parts.
        elif depth == self._base + 1:
            message, element = open_elements[-2].tag, open_elements[-1].tag
            if element == STATEMENT_OF[message]:
                self._number += 1
                self._statement = CamtStatement(self._number, element, self.xml.full_name(message))
                self.position = self._statement.position

    def closed(self, element: Element, open_elements: list[Element]) -> Iterable[Event]:
        """Take an element that has ended within the open ones; return the events it completes."""
        statement = self._statement
        depth = len(open_elements) + 1
        if depth == self._base:
            self._base, self.kept_from = 0, _NEVER
        elif statement is None or not self._base:
            return ()
        elif depth == self._base + 1:
            self._statement = None
            return statement.end(self.xml.encoding)
        elif depth == self._base + 2:
            return statement.child(element)
        elif depth == self._base + 4:
            statement.transaction(open_elements[self._base + 1], element)
        return ()
