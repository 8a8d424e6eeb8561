"""The tagged fields of an MT940 or MT942 file, and the borders of its messages."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from recon_worker.statements.formats.decode import Lines
from recon_worker.statements.formats.model import MalformedStatement

FIELD_LINES_MAX = 200  # SWIFT allows 6 lines; banks deviate.
BEGIN, END = "{", "-"  # Tags of a message's block header and of its end.

_TAG = re.compile(r":([0-9]{2}[A-Z]?|NS):", re.ASCII)
_END = re.compile(r"-(?:\}.*|XXX)?")
_BALANCES = ("60F", "60M", "62F", "62M", "64", "65")
_KNOWN = frozenset(
    {"13", "13D", "20", "21", "25", "25P", "28", "28C", "34F", "61", "86", "90C", "90D", "NS"}
    | set(_BALANCES)
)


@dataclass(slots=True)
class Field:
    """A tag and the lines of its value, or a border of a message."""

    tag: str
    line: int
    lines: list[str] = field(default_factory=list)

    @property
    def position(self) -> str:
        """The line where the field begins."""
        return f"line {self.line}"


def fields(lines: Lines) -> Iterator[Field]:
    """Yield the fields of the file. Text outside messages, such as a bank's header, is skipped.

    A line that begins with an unknown tag continues a :86:, whose text is free.
    """
    current: Field | None = None
    for text in lines:
        found = _TAG.match(text)
        tag = found[1] if found else ""
        in_text = current is not None and current.tag == "86"
        border = text.startswith("{1:") or (text.startswith("{4:") and current is None)
        if found and (tag in _KNOWN or not in_text):
            if current:
                yield current
            current = Field(tag, lines.number, [text[found.end() :]])
        elif border or _END.fullmatch(text.rstrip()):
            if current:
                yield current
            current = None
            yield Field(BEGIN if border else END, lines.number, [text])
        elif current:
            current.lines.append(text)
            if len(current.lines) > FIELD_LINES_MAX:
                raise MalformedStatement(
                    f":{current.tag}: has more than {FIELD_LINES_MAX} lines", current.position
                )
    if current:
        yield current
