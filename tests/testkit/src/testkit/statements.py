"""Bank statements for tests: camt messages built from elements, and sample files."""

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recon_worker.statements.formats.model import (
    Event,
    Format,
    StatementEnd,
    StatementLine,
)
from recon_worker.statements.formats.read import read_statements

# Real statements, with their own licences, may be in a folder beside the project.
_BESIDE_THE_PROJECT = Path(__file__).resolve().parents[5] / "shared/samples/statements"
SAMPLES = Path(os.environ.get("STATEMENT_SAMPLES", _BESIDE_THE_PROJECT))


def camt(*children: str, message: str = "camt.053.001.02") -> bytes:
    """Return a camt message with one statement that has these children."""
    root, statement = {
        "camt.052": ("BkToCstmrAcctRpt", "Rpt"),
        "camt.053": ("BkToCstmrStmt", "Stmt"),
        "camt.054": ("BkToCstmrDbtCdtNtfctn", "Ntfctn"),
    }[message[:8]]
    account = "<Acct><Id><IBAN>DE89 3704 0044 0532 0130 00</IBAN></Id><Ccy>EUR</Ccy></Acct>"
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:{message}"><{root}>\n'
        f"<GrpHdr><MsgId>M1</MsgId></GrpHdr>\n<{statement}><Id>S1</Id>"
        f"<ElctrncSeqNb>7</ElctrncSeqNb>{account}\n" + "\n".join(children) + f"\n</{statement}>"
        f"</{root}></Document>\n"
    ).encode()


def balance(code: str, amount: str, sign: str = "CRDT", on: str = "2026-03-02") -> str:
    """Return a Bal element."""
    return (
        f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>"
        f'<Amt Ccy="EUR">{amount}</Amt><CdtDbtInd>{sign}</CdtDbtInd><Dt><Dt>{on}</Dt></Dt></Bal>'
    )


def entry(
    amount: str,
    sign: str = "CRDT",
    *,
    inside: str = "",
    details: str = "",
    status: str = "<Sts>BOOK</Sts>",
    dates: str = "<BookgDt><Dt>2026-03-02</Dt></BookgDt><ValDt><Dt>2026-03-03</Dt></ValDt>",
    currency: str = "EUR",
) -> str:
    """Return an Ntry element; inside stands before its NtryDtls, which hold the details."""
    nested = f"<NtryDtls>{details}</NtryDtls>" if details else ""
    return (
        f'<Ntry><Amt Ccy="{currency}">{amount}</Amt><CdtDbtInd>{sign}</CdtDbtInd>'
        f"{status}{dates}{inside}{nested}</Ntry>"
    )


CSV_PROFILE: dict[str, Any] = {
    "delimiter": ";",
    "decimal_mark": ",",
    "thousands_mark": ".",
    "date_format": "%d.%m.%Y",
    "sign": "signed",
    "currency": "EUR",
    "columns": {"booked_on": "Datum", "amount": "Betrag", "remittance": ["Text"]},
}


def csv_profile(**changes: Any) -> dict[str, Any]:
    """Return the profile with changes; None removes, `columns` is merged."""
    merged = CSV_PROFILE | changes
    merged["columns"] = CSV_PROFILE["columns"] | changes.get("columns", {})
    merged["columns"] = {k: v for k, v in merged["columns"].items() if v is not None}
    return {key: value for key, value in merged.items() if value is not None}


def read(
    data: bytes, declared: Format | None = None, profile: Mapping[str, object] | None = None
) -> list[Event]:
    """Return the events of the file, of the declared format or a detected one."""
    return list(read_statements(io.BytesIO(data), format=declared or "auto", profile=profile))


def lines_of(events: list[Event]) -> list[StatementLine]:
    """Return the lines among the events."""
    return [event for event in events if isinstance(event, StatementLine)]


def ends_of(events: list[Event]) -> list[StatementEnd]:
    """Return the ends among the events."""
    return [event for event in events if isinstance(event, StatementEnd)]
