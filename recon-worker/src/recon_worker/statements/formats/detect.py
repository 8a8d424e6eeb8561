"""Detection of a file's format by its first bytes: certain, or refused."""

import re

from recon_worker.statements.formats.model import Format, MalformedStatement

_CHOICES = "declare the source's format: camt, mt940, csv (with a profile), stripe or adyen"
_PACKED = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"%PDF": "PDF", b"BZh": "bzip2"}
_BOM = b"\xef\xbb\xbf"
_CAMT = re.compile(
    rb"<(?:[A-Za-z_][\w.-]*:)?(BkToCstmrStmt|BkToCstmrAcctRpt|BkToCstmrDbtCdtNtfctn)[\s>/]"
)
_XML_ELEMENT = re.compile(rb"<([A-Za-z_][\w.:-]*)")
_MT_TAG = re.compile(rb"(?:^|[\r\n])[ ]*:(20|25|25P|28C?|60[FM]|34F|61):")
STRIPE_COLUMNS = frozenset({"automatic_payout_id", "balance_transaction_id", "reporting_category"})
ADYEN_COLUMNS = frozenset({"Psp Reference", "Merchant Account", "Batch Number"})


def detect_format(first_bytes: bytes) -> Format:
    """Return the format of a file that begins with these bytes (16 KiB suffice).

    Raises MalformedStatement if they do not show one format beyond doubt. A CSV file of a bank is
    never detected: its columns mean what its profile says.
    """
    text = first_bytes.removeprefix(_BOM)
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = first_bytes.decode("utf-16", "ignore").encode()
    text = text.lstrip()
    if text.startswith(b"<"):
        return _xml(text)
    found = {match[1] for match in _MT_TAG.finditer(text)}
    if text.startswith(b"{1:") or {b"20", b"25"} <= found:
        return "mt940"
    return _columns(text)


def refuse_packed(first_bytes: bytes) -> None:
    """Refuse a file that holds a statement within another format. Raises MalformedStatement."""
    for mark, name in _PACKED.items():
        if first_bytes.startswith(mark):
            raise MalformedStatement(
                f"the file is {name}: unpack it, or export a statement as text", "start of file"
            )


def _xml(text: bytes) -> Format:
    if _CAMT.search(text):
        return "camt"
    root = _XML_ELEMENT.search(text)
    name = root[1].decode("ascii", "replace") if root else "no element"
    raise MalformedStatement(
        f"XML that begins with {name} is not camt.052, camt.053 or camt.054: export one of these",
        "start of file",
    )


def _columns(text: bytes) -> Format:
    first_row = text.split(b"\n", 1)[0].decode("utf-8", "replace")
    columns = {name.strip().strip('"') for name in first_row.split(",")}
    if columns >= STRIPE_COLUMNS:
        return "stripe"
    if columns >= ADYEN_COLUMNS:
        return "adyen"
    if not text:
        raise MalformedStatement("the file is empty: choose another file", "start of file")
    raise MalformedStatement(
        f"the format cannot be told from the content: {_CHOICES}", "start of file"
    )
