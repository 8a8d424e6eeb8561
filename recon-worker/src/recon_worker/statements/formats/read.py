"""The one entry to the readers: the bytes of a file in, its statements' events out."""

from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO, Literal

from recon_worker.statements.formats.camt.reader import read_camt
from recon_worker.statements.formats.decode import ProfileError, declared_encoding
from recon_worker.statements.formats.detect import detect_format, refuse_packed
from recon_worker.statements.formats.model import Event, Format, MalformedStatement
from recon_worker.statements.formats.mt940.reader import read_mt940
from recon_worker.statements.formats.source import DETECTION_BYTES, Source
from recon_worker.statements.formats.tables.adyen import read_adyen
from recon_worker.statements.formats.tables.csv_file import read_csv
from recon_worker.statements.formats.tables.profile import CsvProfile
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


def check_profile(
    format: str,  # noqa: A002 - the column's name.
    profile: object,
) -> None:
    """Refuse a profile that the format's reader cannot use. Raises ProfileError."""
    if profile is not None and not isinstance(profile, Mapping):
        raise ProfileError('write an object such as {"encoding": "cp1252"}')
    if format == "csv":
        CsvProfile.parse(profile)
        return
    unknown = sorted(set(profile or ()) - {"encoding"})
    if unknown:
        raise ProfileError(
            f"{', '.join(unknown):.200}: a profile of the format {format} holds an encoding alone"
        )
    declared_encoding(profile)
