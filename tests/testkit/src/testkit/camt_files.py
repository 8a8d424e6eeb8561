"""Files in camt.053, written by hand for tests."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

ACCOUNT = "DE89370400440532013000"


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry; a credit is positive."""

    amount: str
    booked_on: str = "2026-11-27"
    end_to_end: str | None = None
    text: str = "invoice"


@dataclass(frozen=True, slots=True)
class Day:
    """A statement; the closing balance follows from the entries unless it is given."""

    entries: Sequence[Entry]
    opening: str = "100.00"
    closing: str | None = None
    from_on: str = "2026-11-27"
    to_on: str | None = None
    bank_id: str = "S1"
    account: str = ACCOUNT
    currency: str = "EUR"

    @property
    def closes_with(self) -> str:
        """The closing balance."""
        if self.closing is not None:
            return self.closing
        return str(Decimal(self.opening) + sum(Decimal(each.amount) for each in self.entries))


def camt053(*days: Day, message_id: str = "M1") -> bytes:
    """Return a file with these statements."""
    return b"".join(camt053_pieces(*days, message_id=message_id))


def camt053_pieces(*days: Day, message_id: str = "M1") -> Iterator[bytes]:
    """Yield the file piece by piece, so that a large one needs no memory."""
    yield (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt>'
        f"<GrpHdr><MsgId>{message_id}</MsgId><CreDtTm>2026-11-28T06:00:00Z</CreDtTm></GrpHdr>"
    ).encode()
    for day in days:
        yield from _statement(day)
    yield b"</BkToCstmrStmt></Document>\n"


def _statement(day: Day) -> Iterator[bytes]:
    to_on = day.to_on or day.from_on
    yield (
        f"<Stmt><Id>{day.bank_id}</Id><CreDtTm>2026-11-28T06:00:00Z</CreDtTm>"
        f"<FrToDt><FrDtTm>{day.from_on}T00:00:00</FrDtTm><ToDtTm>{to_on}T23:59:59</ToDtTm></FrToDt>"
        f"<Acct><Id><IBAN>{day.account}</IBAN></Id><Ccy>{day.currency}</Ccy></Acct>"
        f"{_balance('OPBD', day.opening, day.currency, day.from_on)}"
        f"{_balance('CLBD', day.closes_with, day.currency, to_on)}"
    ).encode()
    for entry in day.entries:
        yield _entry(entry, day.currency)
    yield b"</Stmt>\n"


def _sign(amount: str) -> str:
    return "DBIT" if amount.startswith("-") else "CRDT"


def _balance(code: str, amount: str, currency: str, on: str) -> str:
    return (
        f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>"
        f'<Amt Ccy="{currency}">{amount.removeprefix("-")}</Amt>'
        f"<CdtDbtInd>{_sign(amount)}</CdtDbtInd><Dt><Dt>{on}</Dt></Dt></Bal>"
    )


def _entry(entry: Entry, currency: str) -> bytes:
    reference = f"<EndToEndId>{entry.end_to_end or 'NOTPROVIDED'}</EndToEndId>"
    return (
        f'<Ntry><Amt Ccy="{currency}">{entry.amount.removeprefix("-")}</Amt>'
        f"<CdtDbtInd>{_sign(entry.amount)}</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>"
        f"<BookgDt><Dt>{entry.booked_on}</Dt></BookgDt>"
        f"<NtryDtls><TxDtls><Refs>{reference}</Refs>"
        f"<RmtInf><Ustrd>{entry.text}</Ustrd></RmtInf></TxDtls></NtryDtls></Ntry>\n"
    ).encode()
