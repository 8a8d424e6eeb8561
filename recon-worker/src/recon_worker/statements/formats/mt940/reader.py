"""Reader of MT940 and MT942, with or without SWIFT's block headers."""

from collections.abc import Iterator, Mapping

from payments_core.statements.csv_profile import declared_encoding
from recon_worker.statements.formats.decode import Lines
from recon_worker.statements.formats.model import Event, MalformedStatement
from recon_worker.statements.formats.mt940.message import Message
from recon_worker.statements.formats.mt940.records import BEGIN, END, fields
from recon_worker.statements.formats.source import Source


def read_mt940(source: Source, profile: Mapping[str, object] | None) -> Iterator[Event]:
    """Yield the events of an MT940 or MT942 file. Raises MalformedStatement and ProfileError."""
    lines = Lines(source, declared_encoding(profile))
    message: Message | None = None
    number = 0
    for field in fields(lines):
        if field.tag in (BEGIN, END, "20"):
            if message:
                marked = field.tag == END
                yield from message.end(field.position, lines.encoding, marked=marked)
                message = None
            if field.tag == "20":
                number += 1
                message = Message(number, field)
        elif message is None:
            raise MalformedStatement(
                f":{field.tag}: outside a statement, which begins with :20:: fetch the file again",
                field.position,
            )
        else:
            yield from message.take(field)
    if message:
        yield from message.end("end of file", lines.encoding, marked=False)
