"""The text of :86:: structured by ?NN subfields, or free."""

import re
from dataclasses import dataclass
from decimal import Decimal

from recon_worker.statements.formats.mt940.values import decimal
from recon_worker.statements.formats.values import free_text, reference

SUBFIELD_CHARS = 27  # A full subfield runs on into the next one without a space.
WRAPPED_CHARS = 65  # A line of :86: that is one character shorter has lost a space at its end.

_STRUCTURED = re.compile(r"([0-9]{3})([^\w\s])(?=[0-9]{2})", re.ASCII)
_CODE = re.compile(
    r"(EREF|KREF|MREF|CRED|DEBT|COAM|OAMT|SVWZ|ABWA|ABWE|IBAN|BIC|BREF|RREF)\+", re.ASCII
)
_TEXT_KEYS = tuple(f"{number:02}" for number in (*range(20, 30), *range(60, 64)))
_FOREIGN = re.compile(r"/OCMT/([A-Z]{3})([0-9]{1,15},[0-9]{0,6})/?", re.ASCII)
_CHARGES = re.compile(r"/CHGS/([A-Z]{3})([0-9]{1,15},[0-9]{0,6})/?", re.ASCII)
_RETURN_REASON = re.compile(r"9[0-9]{2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Details:
    """What :86: says of a statement line."""

    business_code: str | None = None  # Geschäftsvorfallcode, such as 166.
    end_to_end: str | None = None
    batch_ref: str | None = None
    counterparty: str | None = None
    remittance: str | None = None
    return_reason: str | None = None


def details(lines: list[str], position: str) -> Details:
    """Return the meaning of the lines of :86:."""
    match = _STRUCTURED.match(lines[0]) if lines else None
    if not match:
        return Details(remittance=free_text(lines, position))
    subfields = _subfields(_unwrapped(lines)[match.start(2) :], match[2])
    codes = _codes([text for key, text in subfields if key in _TEXT_KEYS])
    named = dict(subfields)
    first_name = named.get("32", "")
    name = (_run_on(first_name, len(first_name)) + named.get("33", "")).strip()
    extension = named.get("34", "").strip()
    return Details(
        business_code=match[1],
        end_to_end=reference(codes.get("EREF"), position),
        batch_ref=reference(codes.get("KREF"), position),
        counterparty=free_text([name or named.get("31", "")], position),
        remittance=free_text([codes.get("SVWZ") or codes.get("") or named.get("00", "")], position),
        return_reason=extension if _RETURN_REASON.fullmatch(extension) else None,
    )


def original_amount(text: str, account_currency: str, position: str) -> tuple[Decimal, str] | None:
    """Return the amount in the payment's own currency (/OCMT/), if that is another one."""
    match = _FOREIGN.search(text)
    if not match or match[1] == account_currency:
        return None
    return decimal(match[2], match[1], position), match[1]


def charges(text: str, account_currency: str, position: str) -> Decimal | None:
    """Return the charges (/CHGS/) in the account's currency."""
    match = _CHARGES.search(text)
    if not match or match[1] != account_currency:
        return None
    return decimal(match[2], match[1], position) or None


def _unwrapped(lines: list[str]) -> str:
    return "".join(f"{line} " if len(line) == WRAPPED_CHARS - 1 else line for line in lines)


def _subfields(text: str, separator: str) -> list[tuple[str, str]]:
    parts = re.split(re.escape(separator) + r"(?=[0-9]{2})", text)
    return [(part[:2], part[2:]) for part in parts if part]


def _codes(texts: list[str]) -> dict[str, str]:
    """Return the texts by their code (EREF, SVWZ, ...), and by "" those without one.

    A reference runs on only while its subfields are full; the purpose (SVWZ) runs on anyway.
    """
    grouped: dict[str, list[str]] = {}
    current = ""
    for subfield in texts:
        found = _CODE.match(subfield)
        current = found[1] if found else current
        text = subfield[found.end() :] if found else subfield
        grouped.setdefault(current, []).append(_run_on(text, len(subfield)))
        if len(subfield) < SUBFIELD_CHARS and current != "SVWZ":
            current = ""
    return {code: "".join(parts).strip() for code, parts in grouped.items()}


def _run_on(text: str, subfield_chars: int) -> str:
    return text if subfield_chars >= SUBFIELD_CHARS else text + " "
