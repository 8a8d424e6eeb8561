"""MT940: marks, dates, balances, texts, several accounts, truncation."""

from datetime import date
from decimal import Decimal

import pytest

from recon_worker.statements.formats.model import (
    MalformedStatement,
    StatementHeader,
    StatementLine,
)
from testkit.statements import ends_of, lines_of, read

from .mt94x import HEAD, MT942

TAIL = ":62F:C260303EUR{}\n-\n"


def mt940(*fields: str, closing: str = "100,") -> bytes:
    """Return a statement with these fields between its balances."""
    return (HEAD + "".join(f"{field}\n" for field in fields) + TAIL.format(closing)).encode()


def the_line(*fields: str) -> StatementLine:
    (line,) = lines_of(read(mt940(*fields)))
    return line


def test_the_header_and_the_end() -> None:
    events = read(mt940(":61:2603030303C20,50NTRFREF//BANK", closing="120,5"))
    header, line, end = events
    assert isinstance(header, StatementHeader)
    assert (header.account, header.currency) == ("50880050/0194774600888", "EUR")
    assert (header.bank_id, header.sequence, header.message) == ("T1", "00004/00001", "MT940")
    assert isinstance(line, StatementLine)
    assert (line.end_to_end, line.bank_ref, line.code) == ("REF", "BANK", "NTRF")
    assert ends_of([end])[0].problem is None
    assert (ends_of([end])[0].from_on, ends_of([end])[0].to_on) == (
        date(2026, 3, 2),
        date(2026, 3, 3),
    )


@pytest.mark.parametrize(
    ("mark", "amount", "reversal", "booking"),
    [
        ("C", "10.00", False, "booked"),
        ("D", "-10.00", False, "booked"),
        ("RC", "-10.00", True, "booked"),  # A reversal of a credit takes money.
        ("RD", "10.00", True, "booked"),
        ("EC", "10.00", False, "pending"),
        ("ED", "-10.00", False, "pending"),
        ("CR", "10.00", False, "booked"),  # R is the last letter of EUR, no mark.
        ("DR", "-10.00", False, "booked"),
        ("RCR", "-10.00", True, "booked"),
        ("RDR", "10.00", True, "booked"),
    ],
)
def test_marks(mark: str, amount: str, reversal: bool, booking: str) -> None:
    line = the_line(f":61:2603030303{mark}10,NTRFNONREF")
    assert (str(line.amount), line.reversal, line.booking) == (amount, reversal, booking)


@pytest.mark.parametrize(
    ("written", "amount"),
    [("10,", "10.00"), ("10,5", "10.50"), ("0,12", "0.12"), ("001,12", "1.12")],
)
def test_the_comma_is_the_decimal_mark(written: str, amount: str) -> None:
    assert str(the_line(f":61:260303C{written}NTRFNONREF").amount) == amount


@pytest.mark.parametrize(
    ("value", "entry", "booked_on", "valued_on"),
    [
        ("261230", "1231", date(2026, 12, 31), date(2026, 12, 30)),
        # At New Year, in both directions.
        ("261231", "0102", date(2027, 1, 2), date(2026, 12, 31)),
        ("270101", "1231", date(2026, 12, 31), date(2027, 1, 1)),
        ("280301", "0229", date(2028, 2, 29), date(2028, 3, 1)),
        ("260303", "", date(2026, 3, 3), date(2026, 3, 3)),
        ("991231", "0101", date(2000, 1, 1), date(1999, 12, 31)),
    ],
)
def test_entry_dates_take_the_nearest_year(
    value: str, entry: str, booked_on: date, valued_on: date
) -> None:
    line = the_line(f":61:{value}{entry}C1,NTRFNONREF")
    assert (line.booked_on, line.valued_on) == (booked_on, valued_on)


def test_interest_of_30_february_is_valued_on_the_last_day_and_noted() -> None:
    events = read(mt940(":61:2602300301C1,NINTNONREF", closing="101,"))
    assert lines_of(events)[0].valued_on == date(2026, 2, 28)
    assert "2026-02-28" in ends_of(events)[0].notes[0]


@pytest.mark.parametrize(
    ("references", "end_to_end", "bank_ref"),
    [
        ("NONREF", None, None),
        ("nonref//NONREF", None, None),
        ("REF//BANK", "REF", "BANK"),
        # Longer than the 16 characters of the standard: kept whole, as is its bank reference.
        ("TFNR 40005 MSGID 123//0724710345313905", "TFNR 40005 MSGID 123", "0724710345313905"),
        ("KREF+//BANK", None, "BANK"),
        ("", None, None),
    ],
)
def test_references(references: str, end_to_end: str | None, bank_ref: str | None) -> None:
    line = the_line(f":61:2603030303C10,NTRF{references}")
    assert (line.end_to_end, line.bank_ref) == (end_to_end, bank_ref)


def test_structured_text() -> None:
    line = the_line(
        ":61:2603030303C15000,05NTRFNONREF//0724710290621954",
        ":86:166?00GUTSCHRIFT?100399?20EREF+EndToEndIdTFNR20004000?2101?22KREF",
        "+RUN-7?23SVWZ+TO 13 TFNr 20004 Einga?24ngskanal Mint?25zweite Zeile?3",
        "0PBNKDEFF100?31DE4210010?32Richter Renate 70 Zeichen B?33eginn Ende",
    )
    # A full subfield of 27 characters runs on; a shorter one ends a word, and a reference.
    assert line.end_to_end == "EndToEndIdTFNR2000400001"
    assert line.batch_ref == "RUN-7"
    assert line.remittance == "TO 13 TFNr 20004 Eingangskanal Mint zweite Zeile"
    assert line.counterparty == "Richter Renate 70 Zeichen Beginn Ende"
    assert line.code == "NTRF-166"


def test_a_space_lost_at_the_end_of_a_wrapped_line_comes_back() -> None:
    text = ":86:166?00GUTSCHRIFT?20SVWZ+Miete?32Richter Renate 70 Zeichen B?33eginn"
    wrapped = text[:69].ljust(68, "x")[:68]
    line = the_line(":61:2603030303C1,NTRFNONREF", wrapped, "Ende")
    assert len(wrapped) == len(":86:") + 64
    assert line.counterparty
    assert line.counterparty.endswith(" Ende")


def test_a_return_names_its_reason() -> None:
    line = the_line(":61:2603030303D1,NRTINONREF", ":86:109?00RETOURE?20EREF+INV-1?34914")
    assert (line.return_reason, line.end_to_end) == ("914", "INV-1")


def test_free_text_keeps_its_lines() -> None:
    line = the_line(":61:2603030303D1,NTRFNONREF", ":86:GIRO 428428 KPN", "FACTUUR 20-05", ":12:30")
    assert line.remittance == "GIRO 428428 KPN\nFACTUUR 20-05\n:12:30"


def test_a_second_description_continues_the_first() -> None:
    line = the_line(":61:2603030303D1,NTRFNONREF", ":86:166?00X?20SVWZ+rent ", ":86:?21of May")
    assert (line.code, line.remittance) == ("NTRF-166", "rent  of May")


def test_foreign_amount_and_charges_of_the_supplementary_details() -> None:
    line = the_line(":61:2603030303D5,NTRFREF//BANK", "/OCMT/USD4,5//CHGS/EUR0,5/", ":86:free")
    assert (line.original_amount, line.original_currency) == (Decimal("-4.50"), "USD")
    assert line.charges == Decimal("0.50")


def test_an_entry_of_zero_is_left_out_and_noted() -> None:
    events = read(mt940(":61:260303C0,NMSCNONREF", ":86:free"))
    assert lines_of(events) == []
    assert "zero" in ends_of(events)[0].notes[0]


def test_several_accounts_and_pages_stay_apart() -> None:
    first = mt940(":61:260303C1,NTRFNONREF", closing="101,").decode()
    second = first.replace(":25:50880050", ":25:99999999").replace(":60F:", ":60M:")
    headers = [e for e in read((first + second).encode()) if isinstance(e, StatementHeader)]
    assert [header.account for header in headers] == [
        "50880050/0194774600888",
        "99999999/0194774600888",
    ]
    without_mark = (first.replace("\n-\n", "\n") + second).encode()
    assert len(ends_of(read(without_mark))) == 2


def test_block_headers_and_bank_headers_are_skipped() -> None:
    plain = mt940(":61:260303C1,NTRFNONREF", closing="101,")
    swift = b"{1:F01BANKDEFFXXXX0000000000}{2:O9401200260303}{4:\r\n" + plain.replace(
        b"-\n", b"-}{5:{CHK:123}}\n"
    ).replace(b"\n", b"\r\n")
    abn = b"ABNANL2A\n940\nABNANL2A\n" + plain
    assert lines_of(read(swift))[0].amount == lines_of(read(abn))[0].amount == 1
    assert ends_of(read(swift))[0].problem is None


def test_text_after_the_balance_describes_the_statement() -> None:
    data = mt940(":61:260303C1,NTRFNONREF", ":86:line", closing="101,")
    data = data.replace(b"\n-\n", b"\n:64:C260303EUR101,\n:65:C260304EUR101,\n:86:statement\n-\n")
    assert lines_of(read(data))[0].remittance == "line"


def test_a_closing_balance_of_the_next_day_and_in_debit() -> None:
    # nemiah/phpFinTS 593: lost, and negated twice.
    data = mt940(":61:260303D120,NTRFNONREF").replace(b":62F:C260303EUR100,", b":62F:D260304EUR20,")
    (end,) = ends_of(read(data))
    assert (end.closing, end.to_on, end.problem) == (Decimal("-20.00"), date(2026, 3, 4), None)


def test_a_statement_that_does_not_close_names_the_gap() -> None:
    (end,) = ends_of(read(mt940(":61:260303C1,NTRFNONREF", closing="103,")))
    assert end.problem
    assert "2.00 is not explained" in end.problem


UMLAUT = mt940(":61:260303C1,NTRFNONREF", ":86:Jürgen Müller", closing="101,").decode()


@pytest.mark.parametrize(
    ("data", "profile", "encoding"),
    [
        (UMLAUT.encode(), None, "utf-8"),
        (b"\xef\xbb\xbf" + UMLAUT.encode(), None, "utf-8"),
        (UMLAUT.encode("cp1252"), {"encoding": "cp1252"}, "cp1252"),
        (UMLAUT.encode("cp852"), {"encoding": "cp852"}, "cp852"),
        (UMLAUT.encode(), {"encoding": "cp1252"}, "utf-8"),  # The bytes show that they are UTF-8.
    ],
)
def test_names_survive_every_encoding(
    data: bytes, profile: dict[str, object] | None, encoding: str
) -> None:
    events = read(data, "mt940", profile)
    assert lines_of(events)[0].remittance == "Jürgen Müller"
    assert ends_of(events)[0].encoding == encoding


@pytest.mark.parametrize("encoding", ["cp1252", "cp852"])
def test_an_undeclared_encoding_is_refused_with_its_line(encoding: str) -> None:
    with pytest.raises(MalformedStatement, match=r"line 6: the byte .* is not utf-8"):
        read(UMLAUT.encode(encoding))


@pytest.mark.parametrize(
    ("field", "says"),
    [
        (":61:260303D-104,12NTRFNONREF", "is not a statement line"),
        (":61:260303C1.000,12NTRFNONREF", "is not a statement line"),
        (":61:260303C100NTRFNONREF", "is not a statement line"),
        (":61:260303X1,NTRFNONREF", "is not a statement line"),
        (":61:261303C1,NTRFNONREF", "2026-13-03"),
        (":61:2603030230C1,NTRFNONREF", "2026-02-30"),
        (":61:260431C1,NTRFNONREF", "2026-04-31"),
        (":61:260303C1,005NTRFNONREF", "more than 2 decimals"),
    ],
)
def test_a_broken_line_is_refused_with_its_position(field: str, says: str) -> None:
    with pytest.raises(MalformedStatement) as refusal:
        read(mt940(":61:260303C1,NTRFNONREF", field))
    assert refusal.value.position == ":61: number 2 of statement 1 (line 6)"
    assert says in refusal.value.problem


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (HEAD, "without its closing balance"),
        (HEAD + ":61:260303C1,NTRFNONREF\n", "without its closing balance"),
        (HEAD + ":61:260303C1,NTRFNONREF\n-\n", "without its closing balance"),
        (":20:T1\n:25:1\n:61:260303C1,NTRFNONREF\n", "opening balance"),
        (":20:T1\n:60F:C260302EUR1,\n:25:1\n:62F:C260302EUR1.00\n", "is not a balance"),
        (":20:T1\n:25: \n:60F:C260302EUR1,\n:62F:C260302EUR1,\n", "account"),
        (HEAD + ":62F:C260303USD100,\n-\n", "in USD, but the statement is in EUR"),
        (HEAD + ":62F:C260303EUR100,\n:61:260303C1,NTRFNONREF\n-\n", "out of order"),
        (HEAD + ":61:260303C1,NTRFNONREF\n:28C:1\n", "out of order"),
        (HEAD + ":99:x\n", "out of order"),
        (MT942.split(":90D:")[0], "nor an end mark"),
        (HEAD + ":86:" + "text\n" * 300, "more than 200 lines"),
        (HEAD + ":86:" + "x" * 70_000, "more than 65536 bytes"),
        (HEAD + ":86:a\0b\n", "NUL"),
    ],
)
def test_a_broken_statement_is_refused(data: str, says: str) -> None:
    with pytest.raises(MalformedStatement) as refusal:
        read(data.encode(), "mt940")
    assert says in refusal.value.problem
    assert refusal.value.position


def test_a_line_outside_a_statement_is_refused() -> None:
    with pytest.raises(MalformedStatement, match="outside a statement"):
        read(mt940() + b":61:260303C1,NTRFNONREF\n", "mt940")
