"""Detection: certain, or refused with the choices."""

import pytest

from recon_worker.statements.formats.detect import detect_format
from recon_worker.statements.formats.model import Format, MalformedStatement

CAMT = b'<?xml version="1.0"?><Document xmlns="urn:x"><BkToCstmrStmt>'
MT940 = b":20:T1\r\n:25:DE89\r\n:28C:1/1\r\n"


@pytest.mark.parametrize(
    ("first_bytes", "expected"),
    [
        (CAMT, "camt"),
        (b"\xef\xbb\xbf" + CAMT, "camt"),
        (CAMT.decode().encode("utf-16"), "camt"),
        (b'<d:Document xmlns:d="urn:x"><d:BkToCstmrDbtCdtNtfctn>', "camt"),
        (MT940, "mt940"),
        (b"\r\n" + MT940, "mt940"),
        (b"ABNANL2A\n940\nABNANL2A\n" + MT940, "mt940"),
        (b"{1:F01BANKDEFFXXXX0000000000}{2:O940}{4:\n", "mt940"),
        (b"automatic_payout_id,balance_transaction_id,x,reporting_category\n", "stripe"),
        (b'"Merchant Account","Psp Reference","Batch Number"\n', "adyen"),
    ],
)
def test_a_clear_format_is_detected(first_bytes: bytes, expected: Format) -> None:
    assert detect_format(first_bytes) == expected


@pytest.mark.parametrize(
    ("first_bytes", "says"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf \n", "empty"),
        (b"Datum;Betrag;Text\n", "declare the source's format: camt, mt940, csv"),
        (b":20:T1\nhello\n", "declare"),
        (b"a:20:b\n:25:c\n", "declare"),
        (b"\x00\x01\x02", "declare"),
        (b"PK\x03\x04", "declare"),
        (b"<html>", "begins with html"),
        (b'<Document xmlns="urn:x"><CstmrCdtTrfInitn>', "begins with Document"),
        (b"<", "no element"),
    ],
)
def test_an_unclear_format_is_refused(first_bytes: bytes, says: str) -> None:
    with pytest.raises(MalformedStatement, match=says):
        detect_format(first_bytes)
