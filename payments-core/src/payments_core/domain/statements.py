"""Statements of banks and providers: their words and limits, each defined once."""

from typing import Literal, get_args

SourceFormat = Literal["auto", "camt", "mt940", "csv", "stripe", "adyen"]
SOURCE_FORMATS: tuple[SourceFormat, ...] = get_args(SourceFormat)

# A file is received, then imported whole or quarantined whole. An operator accepts a quarantined
# file, which is then received again, or rejects it.
FileStatus = Literal["received", "accepted", "quarantined", "rejected"]
FILE_STATUSES: tuple[FileStatus, ...] = get_args(FileStatus)

# Why a file is quarantined. An operator can vouch for what does not add up, never for a file that
# cannot be read or is of another account. One whose import never ends can be tried again.
Problem = Literal[
    "malformed", "account", "currency", "date", "balance", "chain", "overlap", "unfinished"
]
PROBLEMS: tuple[Problem, ...] = get_args(Problem)
ACCEPTABLE_PROBLEMS: tuple[Problem, ...] = ("balance", "chain", "overlap", "unfinished")

# Only a statement is final; a report (camt.052, MT942) and a notification (camt.054) repeat lines
# that a later statement holds.
StatementKind = Literal["statement", "report", "notification"]
STATEMENT_KINDS: tuple[StatementKind, ...] = get_args(StatementKind)

Booking = Literal["booked", "pending", "information"]
BOOKINGS: tuple[Booking, ...] = get_args(Booking)

LineStatus = Literal["unmatched", "suggested", "matched", "explained", "returned", "ignored"]
LINE_STATUSES: tuple[LineStatus, ...] = get_args(LineStatus)
OPEN_LINE_STATUSES: tuple[LineStatus, ...] = ("unmatched", "suggested")

ACCOUNT_IDENTIFIER_MAX_CHARS = 64
TIME_ZONE_MAX_CHARS = 64
GRACE_DAYS_MAX = 365
PROFILE_MAX_BYTES = 16 * 1024
FILE_NAME_MAX_CHARS = 255
FILE_BYTES_MAX = 1024**3  # The default of the limit, which is a setting.
CHUNK_BYTES = 1024**2  # Of a file's bytes, before compression.


def normalised_account(text: str) -> str:
    """Return the account's identifier as it is compared: without spaces, in upper case."""
    return "".join(text.split()).upper()
