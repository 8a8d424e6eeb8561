"""From bytes to text: one encoding per file, decided once and never guessed.

A byte order mark decides; else the file is UTF-8 if its first non-ASCII line is; else the
encoding that the source's profile declares holds. A later line that the encoding cannot read is
refused with its number, so no text is ever garbled in silence.
"""

import codecs
import re
from collections.abc import Iterator

from recon_worker.statements.formats.model import MalformedStatement
from recon_worker.statements.formats.source import Source

LINE_MAX_BYTES = 64 * 1024
UTF8_CHARACTER_BYTES = 4
_NON_ASCII = re.compile(rb"[\x80-\xff]")
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_WITHOUT_ENCODING = "ascii"


class Lines:
    """The lines of a file as text, without their line breaks (LF or CRLF)."""

    def __init__(self, source: Source, declared: str | None) -> None:
        self._source = source
        self._declared = declared
        self.encoding = _WITHOUT_ENCODING  # Until a line needs more.
        self.number = 0
        self.last_is_complete = True  # Whether the last line ended in a line break.

    def __iter__(self) -> Iterator[str]:
        for raw in self._raw():
            self.number += 1
            line = self._text(raw)
            if "\0" in line:
                raise MalformedStatement("the line holds a NUL character", self.position)
            yield line

    @property
    def position(self) -> str:
        """The current line."""
        return f"line {self.number}"

    def _raw(self) -> Iterator[bytes]:
        rest = b""
        first = True
        for block in self._source.blocks():
            if first and block.startswith(_UTF16):
                raise MalformedStatement("the file is UTF-16: save it as UTF-8", "line 1")
            if first and block.startswith(codecs.BOM_UTF8):
                self.encoding = "utf-8"
            start = len(codecs.BOM_UTF8) if first and self.encoding == "utf-8" else 0
            first = False
            *whole, rest = (rest + block[start:]).split(b"\n")
            for line in whole:
                yield self._bounded(line).removesuffix(b"\r")
            self._bounded(rest)
        if rest:
            self.last_is_complete = False
            yield rest.removesuffix(b"\r")

    def _bounded(self, line: bytes) -> bytes:
        if len(line) > LINE_MAX_BYTES:
            raise MalformedStatement(
                f"the line has more than {LINE_MAX_BYTES} bytes", f"line {self.number + 1}"
            )
        return line

    def _text(self, raw: bytes) -> str:
        if raw.isascii():
            return raw.decode("ascii")
        if self.encoding == _WITHOUT_ENCODING:
            self.encoding = self._decide(raw)
        try:
            return raw.decode(self.encoding)
        except UnicodeDecodeError as error:
            raise not_readable(raw[error.start], self.encoding, self.position) from None

    def _decide(self, raw: bytes) -> str:
        return "utf-8" if _is_utf8(raw) else self._declared or "utf-8"


def not_readable(byte: int, encoding: str, position: str) -> MalformedStatement:
    """Return the refusal of a byte that the encoding does not have."""
    return MalformedStatement(
        f"the byte 0x{byte:02X} is not {encoding}: "
        'declare the true encoding in the source\'s profile, such as {"encoding": "cp1252"}',
        position,
    )


class Utf8Blocks:
    """The blocks of a file as UTF-8: checked, or recoded from the declared encoding.

    Its first non-ASCII character decides: UTF-8 if it is UTF-8, else the declared encoding.
    """

    def __init__(self, source: Source, declared: str | None) -> None:
        self._source = source
        self._declared = declared
        self.encoding = _WITHOUT_ENCODING

    def __iter__(self) -> Iterator[bytes]:
        decoder: codecs.IncrementalDecoder | None = None
        line = 1
        blocks = self._source.blocks()
        for block in blocks:
            # isascii() alone is much faster than the search.
            searched = decoder is None and not block.isascii()
            deciding = _NON_ASCII.search(block) if searched else None
            following = b""
            if deciding:
                if len(block) - deciding.start() < UTF8_CHARACTER_BYTES:
                    following = next(blocks, b"")
                self.encoding = self._decide(block[deciding.start() :] + following)
                decoder = codecs.getincrementaldecoder(self.encoding)()
            for part in filter(None, (block, following)):
                yield self._decoded(decoder, part, line) if decoder else part
                line += part.count(b"\n")
        if decoder:
            yield self._decoded(decoder, b"", line)

    def _decide(self, raw: bytes) -> str:
        starts = (raw[:size] for size in range(2, UTF8_CHARACTER_BYTES + 1))
        return "utf-8" if any(map(_is_utf8, starts)) else self._declared or "utf-8"

    def _decoded(self, decoder: codecs.IncrementalDecoder, block: bytes, line: int) -> bytes:
        try:
            return decoder.decode(block, not block).encode()
        except UnicodeDecodeError as error:  # Its object may begin with bytes of the last block.
            line += error.object[: error.start].count(b"\n")
            byte = error.object[error.start]
            raise not_readable(byte, self.encoding, f"line {line}") from None


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
