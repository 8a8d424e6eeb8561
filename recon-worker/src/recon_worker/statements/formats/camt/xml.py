"""Safe XML on the standard library's expat: no DOCTYPE, no entities, bounded in every direction."""

import re
from collections.abc import Iterable, Iterator
from typing import NoReturn, Protocol
from xml.etree.ElementTree import Element, TreeBuilder  # nosec B405 - no parser: expat parses
from xml.parsers import expat

from recon_worker.statements.formats.decode import Utf8Blocks
from recon_worker.statements.formats.model import Event, MalformedStatement
from recon_worker.statements.formats.source import DETECTION_BYTES, Source

NAMES_MAX = 2_000  # Expat keeps all names and prefixes; the versions of camt have below 700.
NAMES_MAX_CHARS = 256 * 1024  # Expat keeps each with its namespace.
NAMESPACE_MAX_CHARS = 1_000  # Refused before a name is built with it.
# In memory after a block: one entry or transaction has below 200 elements.
ELEMENTS_MAX = 20_000
TEXT_MAX_CHARS = 2 * 1024 * 1024  # Of texts and attributes.
BYTES_WITHOUT_ELEMENT_MAX = 1024 * 1024  # Bounds tags, comments and texts before they are whole.

_DECLARATION = re.compile(rb"\A<\?xml[^>]*?\sencoding\s*=\s*[\"']([A-Za-z0-9._-]+)[\"']")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


class Receiver(Protocol):
    """The part that knows what the elements mean."""

    position: str
    # An element that opens at this depth is shown whole when it ends. Those above it are shown
    # when they open and when they end; those within it are not, except the ones of this name.
    shown_whole: int
    shown_within: str

    def opened(self, open_elements: list[Element]) -> None:
        """Take the start of the last of the open elements."""

    def closed(self, element: Element, depth: int) -> Iterable[Event]:
        """Take an element that has ended at this depth; return the events it completes."""

    def within(self, whole: Element, element: Element) -> bool:
        """Take an element that has ended within a whole one; return whether it may be removed."""


class SafeXml:
    """One pass over the elements of a file, with local names as tags.

    The elements are built by C's TreeBuilder, which expat calls directly; Python runs only at
    their ends. What is in memory is counted after each block of the file.
    """

    def __init__(self, source: Source, declared: str | None, receiver: Receiver) -> None:
        head = source.peek(DETECTION_BYTES)
        named = _DECLARATION.search(head)
        written = named[1].decode().lower() if named else "utf-8"
        self._xml_encoding = "utf-16" if head.startswith(_UTF16) else written
        self._recoded = Utf8Blocks(source, declared)
        self._is_utf8 = bool(declared) or self._xml_encoding == "utf-8"
        self._blocks: Iterable[bytes] = self._recoded if self._is_utf8 else source.blocks()
        self._receiver = receiver
        self._shown_within = receiver.shown_within
        self._names = _LocalNames()
        self._tree = TreeBuilder()
        # A given encoding replaces the one that the XML declares.
        self._parser = expat.ParserCreate("utf-8" if self._is_utf8 else None, "}")
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._doctype
        # With this handler, expat's dictionary of names has the prefixes too.
        self._parser.StartNamespaceDeclHandler = self._namespace
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._tree.data
        self._open: list[Element] = []  # Down to the one that is shown whole.
        self._newest: Element | None = None  # The last one that had started after a block.
        self._shown = False  # Whether an element was shown, so left memory, in the block.
        self._completed: list[Event] = []

    @property
    def encoding(self) -> str:
        """The encoding in which the bytes were read so far."""
        return self._recoded.encoding if self._is_utf8 else self._xml_encoding

    def full_name(self, local: str) -> str:
        """Return the name with its namespace as it first occurred."""
        return self._names.full(local)

    def events(self) -> Iterator[Event]:
        """Yield the events that the receiver returns. Raises MalformedStatement."""
        silent_bytes = 0
        for block in self._blocks:
            self._parse(block)
            silent_bytes = silent_bytes + len(block) if self._is_silent() else 0
            if silent_bytes > BYTES_WITHOUT_ELEMENT_MAX:
                raise self._refused("more than 1 MiB without an element")
            self._check_memory()
            yield from self._completed
            self._completed.clear()
        self._parse(b"", final=True)
        yield from self._completed

    def _parse(self, block: bytes, *, final: bool = False) -> None:
        try:
            self._parser.Parse(block, final)
        except expat.ExpatError as error:
            raise MalformedStatement(
                f"the XML is broken or ends early ({expat.ErrorString(error.code)}): "
                "fetch the file again",
                f"line {error.lineno}, column {error.offset + 1}",
            ) from None
        except MalformedStatement:
            raise
        except (ValueError, LookupError) as error:  # An encoding that Python does not know.
            raise MalformedStatement(f"the XML cannot be read: {error}", "line 1") from None

    def _doctype(self, *_: object) -> NoReturn:
        raise MalformedStatement(
            "a DOCTYPE is not allowed in a statement: ask the bank for a file without it",
            self._receiver.position,
        )

    def _namespace(self, _prefix: str | None, uri: str | None) -> None:
        if uri and len(uri) > NAMESPACE_MAX_CHARS:
            raise self._refused(f"a namespace has more than {NAMESPACE_MAX_CHARS} characters")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        element = self._tree.start(name, attributes)
        element.tag = self._names[name]
        self._open.append(element)
        self._receiver.opened(self._open)
        if len(self._open) == self._receiver.shown_whole:
            self._parser.StartElementHandler = self._tree.start

    def _end(self, name: str) -> None:
        element = self._tree.end(name)
        element.tag = self._names[name]
        if len(element):
            element.text = None  # Only an element without children has a value.
        whole = self._open[-1]
        if element is whole:
            self._close(element)
        elif element.tag == self._shown_within and self._receiver.within(whole, element):
            del whole[-1][-1]
            self._shown = True

    def _close(self, element: Element) -> None:
        self._shown = True
        above = self._open
        self._completed.extend(self._receiver.closed(element, len(above)))
        above.pop()
        if above:
            del above[-1][-1]
        self._parser.StartElementHandler = self._start

    def _is_silent(self) -> bool:
        newest = self._open[0] if self._open else None
        while newest is not None and len(newest):
            newest = newest[-1]
        silent = newest is self._newest and not self._shown
        self._newest, self._shown = newest, False
        return silent

    def _check_memory(self) -> None:
        names = self._parser.intern  # None among them: the prefix of a default namespace.
        if len(names) > NAMES_MAX or sum(len(name or "") for name in names) > NAMES_MAX_CHARS:
            raise self._refused(f"more than {NAMES_MAX} different names, or names too long")
        elements = chars = 0
        for element in self._open[0].iter() if self._open else ():
            elements += 1
            chars += len(element.text or "") + len(element.tail or "")
            chars += sum(len(value) for _, value in element.items())
        if elements > ELEMENTS_MAX:
            raise self._refused(f"one entry or transaction holds more than {ELEMENTS_MAX} elements")
        if chars > TEXT_MAX_CHARS:
            raise self._refused(
                f"one entry or transaction holds more than {TEXT_MAX_CHARS} characters"
            )

    def _refused(self, problem: str) -> MalformedStatement:
        return MalformedStatement(f"{problem}: this is no bank statement", self._receiver.position)


class _LocalNames(dict[str, str]):
    """Local names by full names (namespace}name)."""

    def __missing__(self, full: str) -> str:
        self[full] = full.rpartition("}")[2]
        return self[full]

    def full(self, local: str) -> str:
        """Return the full name that first had this local name."""
        return next(full for full, name in self.items() if name == local)
