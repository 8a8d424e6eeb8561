"""CSV by a declared profile: amounts, signs, dates, rows, and profiles that say what to fix."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from recon_worker.statements.formats.model import (
    MalformedStatement,
    StatementHeader,
    StatementLine,
)
from testkit.statements import SAMPLES, ends_of, lines_of, read
from testkit.statements import csv_profile as profile


def the_line(text: str, **changes: Any) -> StatementLine:
    (line,) = lines_of(read(text.encode(), "csv", profile(**changes)))
    return line


def amount(cell: str, **changes: Any) -> str:
    return str(the_line(f'Datum;Betrag;Text\n02.03.2026;"{cell}";x\n', **changes).amount)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("-1.234,56", "-1234.56"),
        ("1234,56", "1234.56"),
        ("+10,00", "10.00"),  # firefly-iii 4106: 10,00 became 1000.
        ("1.000", "1000.00"),
        ("1.000.000,5", "1000000.50"),
        ("12,34-", "-12.34"),
        ("7,", "7.00"),
    ],
)
def test_amounts_with_a_decimal_comma(cell: str, expected: str) -> None:
    assert amount(cell) == expected


@pytest.mark.parametrize(
    ("cell", "expected"), [("1,234.56", "1234.56"), ("-0.5", "-0.50"), ("1.000", "1.00")]
)
def test_amounts_with_a_decimal_point(cell: str, expected: str) -> None:
    assert amount(cell, decimal_mark=".", thousands_mark=",") == expected


@pytest.mark.parametrize(
    ("cell", "marks"),
    [
        ("10.00", (",", ".")),
        ("1.23.456", (",", ".")),
        ("10,00", (".", ",")),
        ("10,00", (".", None)),
        ("1 000,00", (",", None)),
        ("1.000,00", (",", None)),
        ("--5", (",", None)),
        ("-5-", (",", None)),
        ("5 EUR", (",", None)),
        ("", (",", None)),
        ("1,005", (",", None)),
        ("NaN", (",", None)),
        ("1e5", (",", None)),
    ],
)
def test_an_amount_in_other_marks_is_refused(cell: str, marks: tuple[str, str | None]) -> None:
    with pytest.raises(MalformedStatement) as refusal:
        amount(cell, decimal_mark=marks[0], thousands_mark=marks[1])
    assert refusal.value.position == "line 2"


@pytest.mark.parametrize(
    ("row", "expected"),
    [(";5,00", "-5.00"), ("5,00;", "5.00"), ("0,00;5,00", "-5.00"), ("5,00;0,00", "5.00")],
)
def test_columns_of_credits_and_debits(row: str, expected: str) -> None:
    columns = {"amount": None, "credit": "Haben", "debit": "Soll"}
    text = f"Datum;Haben;Soll;Text\n02.03.2026;{row};x\n"
    assert str(the_line(text, sign="columns", columns=columns).amount) == expected


@pytest.mark.parametrize("row", [";", "5,00;5,00", ";-5,00"])
def test_unclear_columns_of_credits_and_debits_are_refused(row: str) -> None:
    columns = {"amount": None, "credit": "Haben", "debit": "Soll"}
    with pytest.raises(MalformedStatement, match="line 2"):
        the_line(f"Datum;Haben;Soll;Text\n02.03.2026;{row};x\n", sign="columns", columns=columns)


def test_an_inverted_sign_and_an_indicator() -> None:
    assert amount("5,00", sign="inverted") == "-5.00"
    indicator = {
        "sign": "indicator",
        "credit_values": ["H"],
        "debit_values": ["S"],
        "columns": {"indicator": "SH"},
    }
    text = "Datum;Betrag;SH;Text\n02.03.2026;5,00;{};x\n"
    assert str(the_line(text.format("S"), **indicator).amount) == "-5.00"
    assert str(the_line(text.format("H"), **indicator).amount) == "5.00"
    with pytest.raises(MalformedStatement, match="'X' is neither"):
        the_line(text.format("X"), **indicator)


@pytest.mark.parametrize(
    ("date_format", "cell", "expected"),
    [
        ("%d.%m.%Y", "02.03.2026", date(2026, 3, 2)),
        ("%m/%d/%y", "3/2/26", date(2026, 3, 2)),
        ("%Y-%m-%dT%H:%M:%SZ", "2026-03-02T23:59:59Z", date(2026, 3, 2)),
        ("%Y%m%d", "20260302", date(2026, 3, 2)),
    ],
)
def test_dates(date_format: str, cell: str, expected: date) -> None:
    text = f"Datum;Betrag;Text\n{cell};5,00;x\n"
    assert the_line(text, date_format=date_format).booked_on == expected


@pytest.mark.parametrize("cell", ["2026-03-02", "30.02.2026", "02.03.26", "", "02.03.2026 10:00"])
def test_another_date_is_refused(cell: str) -> None:
    with pytest.raises(MalformedStatement, match="line 2"):
        the_line(f"Datum;Betrag;Text\n{cell};5,00;x\n")


def test_every_declared_column_is_read_by_its_name() -> None:
    columns = {
        "valued_on": "Valuta",
        "currency": "Ccy",
        "account": "Konto",
        "end_to_end": "E2E",
        "bank_ref": "Ref",
        "batch_ref": "Lauf",
        "code": "Art",
        "counterparty": "Name",
        "remittance": ["Text", "Info"],
        "charges": "Geb",
        "original_amount": "Orig",
        "original_currency": "OCcy",
    }
    header = "Ref;Datum;Valuta;Betrag;Ccy;Konto;E2E;Lauf;Art;Name;Text;Info;Geb;Orig;OCcy;Unused"
    row = "B1;02.03.2026;03.03.2026;-5,00;eur;de89 3704;INV-1;L1;TRF;Ada;a;b;0,50;6,00;usd;?"
    text = f"{header}\n{row}\n"
    events = read(text.encode(), "csv", profile(currency=None, columns=columns))
    header_event, line, _ = events
    assert isinstance(header_event, StatementHeader)
    assert (header_event.account, header_event.currency) == ("DE893704", "EUR")
    assert isinstance(line, StatementLine)
    assert (line.end_to_end, line.bank_ref, line.batch_ref, line.code) == (
        "INV-1",
        "B1",
        "L1",
        "TRF",
    )
    assert (line.counterparty, line.remittance, line.charges) == ("Ada", "a\nb", Decimal("0.50"))
    assert (line.original_amount, line.original_currency) == (Decimal("-6.00"), "USD")
    assert (line.booked_on, line.valued_on) == (date(2026, 3, 2), date(2026, 3, 3))


def test_an_empty_reference_is_none_and_identical_rows_are_two_lines() -> None:
    text = "Datum;Betrag;Text;Ref\n" + "02.03.2026;-5,00;x;NONREF\n" * 2
    lines = lines_of(read(text.encode(), "csv", profile(columns={"bank_ref": "Ref"})))
    assert [(line.line_no, line.bank_ref) for line in lines] == [(1, None), (2, None)]


@pytest.mark.parametrize(
    ("order", "rows"),
    [
        ("oldest_first", "02.03.2026;10,00;x;110,00\n03.03.2026;-30,00;y;80,00\n"),
        ("newest_first", "03.03.2026;-30,00;y;80,00\n02.03.2026;10,00;x;110,00\n"),
    ],
)
def test_a_running_balance_bounds_the_statement(order: str, rows: str) -> None:
    declared = profile(order=order, columns={"balance": "Saldo"})
    text = "Datum;Betrag;Text;Saldo\n" + rows
    (end,) = ends_of(read(text.encode(), "csv", declared))
    assert (str(end.opening), str(end.closing), end.problem) == ("100.00", "80.00", None)
    assert (end.from_on, end.to_on) == (date(2026, 3, 2), date(2026, 3, 3))
    gap = text.replace("02.03.2026;10,00;x;110,00\n", "") + "04.03.2026;1,00;z;99,00\n"
    (end,) = ends_of(read(gap.encode(), "csv", declared))
    assert end.problem


def test_pending_rows_do_not_count() -> None:
    text = "Datum;Betrag;Text;Status\n02.03.2026;5,00;x;Vorgemerkt\n02.03.2026;7,00;x;Gebucht\n"
    declared = profile(columns={"status": "Status"}, pending_values=["Vorgemerkt"])
    events = read(text.encode(), "csv", declared)
    assert [line.booking for line in lines_of(events)] == ["pending", "booked"]
    assert str(ends_of(events)[0].net) == "7.00"


def test_rows_around_the_table_are_skipped() -> None:
    text = "Konto;123\n\nDatum;Betrag;Text\n02.03.2026;5,00;x\n;;\nSumme;5,00\n"
    assert str(the_line(text, skip_rows=2, footer_rows=1).amount) == "5.00"


def test_quotes_hold_delimiters_quotes_and_line_breaks() -> None:
    text = 'Datum;Betrag;Text\n02.03.2026;5,00;"a;""b""\r\nc"\n'
    assert the_line(text).remittance == 'a;"b"\nc'
    with pytest.raises(MalformedStatement, match="line 4"):
        the_line(text + "03.03.2026;x;y\n")


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b""])
@pytest.mark.parametrize("line_break", ["\n", "\r\n"])
def test_a_byte_order_mark_and_line_breaks_change_nothing(mark: bytes, line_break: str) -> None:
    text = f"Datum;Betrag;Text{line_break}02.03.2026;5,00;Müller{line_break}"
    (line,) = lines_of(read(mark + text.encode(), "csv", profile()))
    assert line.remittance == "Müller"


def test_the_declared_encoding_is_read_and_another_refused() -> None:
    data = "Datum;Betrag;Text\n02.03.2026;5,00;Müller\n".encode("cp1252")
    (line,) = lines_of(read(data, "csv", profile(encoding="cp1252")))
    assert line.remittance == "Müller"
    with pytest.raises(MalformedStatement, match="line 2: the byte 0xFC is not utf-8"):
        read(data, "csv", profile())
    with pytest.raises(MalformedStatement, match="UTF-16"):
        read("Datum".encode("utf-16"), "csv", profile())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no header row"),
        ("Datum;Betrag\n", "0 columns 'Text'"),
        ("Datum;Betrag;Text;Text\n", "2 columns 'Text'"),
        ("Datum,Betrag,Text\n", "columns 'Datum'"),
        ("Datum;Betrag;Text\n02.03.2026;5,00\n", "2 cells, the header 3"),
        ("Datum;Betrag;Text\n02.03.2026;5,00;a;b\n", "4 cells, the header 3"),
        ('Datum;Betrag;Text\n02.03.2026;5,00;"a\n', "no CSV"),
        ('Datum;Betrag;Text\n02.03.2026;5,00;"a"b\n', "no CSV"),
        ("Datum;Betrag;Text\n02.03.2026;5,00;x", "no line break"),
    ],
)
def test_a_broken_table_is_refused(text: str, says: str) -> None:
    with pytest.raises(MalformedStatement, match=says):
        read(text.encode(), "csv", profile())


def test_a_table_without_rows_may_be_cut_off() -> None:
    (end,) = ends_of(read(b"Datum;Betrag;Text\n", "csv", profile()))
    assert end.problem
    assert "no rows" in end.problem


def test_a_last_row_without_a_line_break_is_read_if_the_profile_says_so() -> None:
    text = "Datum;Betrag;Text\n02.03.2026;5,00;x"
    assert the_line(text, last_line_break=False).remittance == "x"


def test_rows_of_two_currencies_are_refused() -> None:
    text = "Datum;Betrag;Text;Ccy\n02.03.2026;5,00;x;EUR\n02.03.2026;5,00;x;USD\n"
    with pytest.raises(MalformedStatement, match="line 3: the row is of account None in USD"):
        read(text.encode(), "csv", profile(currency=None, columns={"currency": "Ccy"}))


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the samples of statements are not beside")
def test_a_sample_with_european_decimals() -> None:
    declared = profile(
        date_format="%Y-%m-%d",
        currency=None,
        last_line_break=False,
        columns={
            "booked_on": "Buchungstag",
            "amount": "Betrag",
            "currency": "CCY",
            "remittance": ["Verwendungszweck"],
            "bank_ref": "Ref",
        },
    )
    lines = lines_of(
        read((SAMPLES / "csv/bsp_european_decimals.csv").read_bytes(), "csv", declared)
    )
    assert [str(line.amount) for line in lines] == ["-1234.56", "3500.00", "-4.50"]
