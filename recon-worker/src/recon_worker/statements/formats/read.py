"""The one entry to the readers: the bytes of a file in, its statements' events out."""

from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO, Literal

from payments_core.statements.csv_profile import ProfileError, check_profile
from recon_worker.statements.formats.camt.reader import read_camt
from recon_worker.statements.formats.detect import detect_format, refuse_packed
from recon_worker.statements.formats.model import Event, Format, MalformedStatement
from recon_worker.statements.formats.mt940.reader import read_mt940
from recon_worker.statements.formats.source import DETECTION_BYTES, Source
from recon_worker.statements.formats.tables.adyen import read_adyen
from recon_worker.statements.formats.tables.csv_file import read_csv
from recon_worker.statements.formats.tables.stripe import read_stripe

Reader = Callable[[Source, Mapping[str, object] | None], Iterator[Event]]

READERS: dict[Format, Reader] = {
    "camt": read_camt,
    "mt940": read_mt940,
    "csv": read_csv,
    "stripe": read_stripe,
    "adyen": read_adyen,
}


def read_statements(
    stream: BinaryIO,
    *,
    format: Format | Literal["auto"],  # noqa: A002 - the column's name.
    profile: Mapping[str, object] | None = None,
) -> Iterator[Event]:
    """Yield the events of the file's statements, in order and in constant memory.

    profile is the source's: for csv the whole profile, for the other formats at most
    {"encoding": ...}. Raises MalformedStatement at the first trouble, also after earlier events,
    so store a file in one transaction.
    """
    source = Source(stream)
    head = source.peek(DETECTION_BYTES)
    refuse_packed(head)
    chosen = detect_format(head) if format == "auto" else format
    try:
        check_profile(chosen, profile)
    except ProfileError as error:
        raise MalformedStatement(
            f"the profile of the source cannot be used: {error}", "profile"
        ) from None
    found = False
    for event in READERS[chosen](source, profile):
        found = True
        yield event
    if not found:
        raise MalformedStatement("the file holds no statement: choose another file", "end of file")
