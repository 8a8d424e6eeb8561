"""Safe XML on the standard library's expat: no DOCTYPE, no entities, bounded in every direction."""

import re
from collections.abc import Iterable, Iterator
from typing import NoReturn, Protocol
from xml.etree.ElementTree import Element, SubElement  # nosec B405 - the classes: expat parses
from xml.parsers import expat

from recon_worker.statements.formats.decode import Utf8Blocks
from recon_worker.statements.formats.model import Event, MalformedStatement
from recon_worker.statements.formats.source import DETECTION_BYTES, Source

DEPTH_MAX = 40
NAMES_MAX = 2_000  # Expat keeps every distinct name; all versions of camt together have below 700.
ELEMENTS_PENDING_MAX = 20_000  # In memory at once; one entry or transaction has below 200.
ELEMENT_TEXT_MAX_CHARS = 64 * 1024
TEXT_PENDING_MAX_CHARS = 2 * 1024 * 1024  # Of the texts and attributes in memory at once.
BYTES_WITHOUT_ELEMENT_MAX = 1024 * 1024  # Bounds tags and comments before they are whole.

_DECLARATION = re.compile(rb"\A<\?xml[^>]*?\sencoding\s*=\s*[\"']([A-Za-z0-9._-]+)[\"']")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


class Receiver(Protocol):
    """The part that knows what the elements mean."""

    position: str
    # From this depth on, an element stays in memory until one around it ends, and is not shown;
    # except the elements of this name, which are shown and leave memory when they end.
    kept_from: int
    shown_within: str

    def opened(self, open_elements: list[Element]) -> None:
        """Take the start of the last of the open elements."""

    def closed(self, element: Element, open_elements: list[Element]) -> Iterable[Event]:
        """Take an element that has ended within the open ones; return the events it completes."""


class SafeXml:
    """One pass over the elements of a file, with local names as tags."""

    def __init__(self, source: Source, declared: str | None, receiver: Receiver) -> None:
        head = source.peek(DETECTION_BYTES)
        named = _DECLARATION.search(head)
        written = named[1].decode().lower() if named else "utf-8"
        self._xml_encoding = "utf-16" if head.startswith(_UTF16) else written
        self._recoded = Utf8Blocks(source, declared)
        self._is_utf8 = bool(declared) or self._xml_encoding == "utf-8"
        self._blocks: Iterable[bytes] = self._recoded if self._is_utf8 else source.blocks()
        self._receiver = receiver
        self._names = LocalNames()
        self._open: list[Element] = []
        # Elements and characters in memory before each open element that is shown.
        self._counts: list[tuple[int, int]] = []
        self._in_memory = 0
        self._chars_in_memory = 0
        self._silent = True  # No element has started in the block.
        self._text = ""
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
        # A given encoding replaces the one that the XML declares.
        parser = expat.ParserCreate("utf-8" if self._is_utf8 else None, "}")
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        silent_bytes = 0
        for block in self._blocks:
            self._silent = True
            self._parse(parser, block)
            silent_bytes = silent_bytes + len(block) if self._silent else 0
            if silent_bytes > BYTES_WITHOUT_ELEMENT_MAX:
                raise MalformedStatement(
                    "more than 1 MiB without an element: this is no bank statement",
                    self._receiver.position,
                )
            yield from self._completed
            self._completed.clear()
        self._parse(parser, b"", final=True)
        yield from self._completed

    def _parse(self, parser: expat.XMLParserType, block: bytes, *, final: bool = False) -> None:
        try:
            parser.Parse(block, final)
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

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        local = self._names[name]
        above = self._open
        before = self._in_memory, self._chars_in_memory
        if attributes:
            for key, value in attributes.items():
                self._names[key]
                self._keep(len(value))
        element = SubElement(above[-1], local, attributes) if above else Element(local, attributes)
        above.append(element)
        self._text = ""
        self._silent = False
        in_memory = self._in_memory = before[0] + 1
        depth = len(above)
        if depth > DEPTH_MAX or in_memory > ELEMENTS_PENDING_MAX:
            raise MalformedStatement(
                f"elements are nested deeper than {DEPTH_MAX}, or one entry holds more than "
                f"{ELEMENTS_PENDING_MAX} elements: this is no bank statement",
                self._receiver.position,
            )
        receiver = self._receiver
        if depth < receiver.kept_from:
            self._counts.append(before)
            receiver.opened(above)
        elif local == receiver.shown_within:
            self._counts.append(before)

    def _end(self, _name: str) -> None:
        above = self._open
        element = above.pop()
        if not len(element):
            element.text = self._text
            self._keep(len(self._text))
        self._text = ""
        receiver = self._receiver
        if len(above) + 1 >= receiver.kept_from and element.tag != receiver.shown_within:
            return
        self._completed.extend(receiver.closed(element, above))
        self._in_memory, self._chars_in_memory = self._counts.pop()
        if above:
            del above[-1][-1]

    def _keep(self, chars: int) -> None:
        self._chars_in_memory += chars
        if self._chars_in_memory > TEXT_PENDING_MAX_CHARS:
            raise MalformedStatement(
                f"one entry or transaction holds more than {TEXT_PENDING_MAX_CHARS} characters: "
                "this is no bank statement",
                self._receiver.position,
            )

    def _characters(self, text: str) -> None:
        self._text += text
        if len(self._text) > ELEMENT_TEXT_MAX_CHARS:
            raise MalformedStatement(
                f"an element has more than {ELEMENT_TEXT_MAX_CHARS} characters",
                self._receiver.position,
            )


class LocalNames(dict[str, str]):
    """Local names by full names (namespace}name), bounded."""

    def __missing__(self, full: str) -> str:
        if len(self) >= NAMES_MAX:
            raise MalformedStatement(
                f"more than {NAMES_MAX} different names of elements: this is no bank statement",
                "start of file",
            )
        self[full] = full.rpartition("}")[2]
        return self[full]

    def full(self, local: str) -> str:
        """Return the full name that first had this local name."""
        return next(full for full, name in self.items() if name == local)
