"""Files made to exhaust memory or time, and profiles made to: refused early, at a position."""

import io
from typing import Any

import pytest

from recon_worker.statements.formats.camt import statement
from recon_worker.statements.formats.model import Format, MalformedStatement
from recon_worker.statements.formats.read import read_statements
from testkit.statements import balance, camt, csv_profile, ends_of, entry, lines_of, read

MEBIBYTE = 1024 * 1024
BEFORE_ENTRIES, AFTER_ENTRIES = camt("<Ntry>").split(b"<Ntry>")
LONG = b"x" * 60_000
BALANCES = balance("OPBD", "100"), balance("CLBD", "110")


class Endless(io.RawIOBase):
    """A stream that repeats a piece after the head, and knows how much was read of it."""

    def __init__(self, head: bytes, piece: bytes) -> None:
        self._waiting, self._piece, self.taken_bytes = head, piece, 0

    def read(self, size: int = -1) -> bytes:
        while len(self._waiting) < size:
            self._waiting += self._piece
        taken, self._waiting = self._waiting[:size], self._waiting[size:]
        self.taken_bytes += size
        assert self.taken_bytes < 32 * MEBIBYTE, "the reader takes without an end"
        return taken


def refusal_of_endless(head: bytes, piece: bytes, declared: Format) -> str:
    profile = csv_profile() if declared == "csv" else None
    with pytest.raises(MalformedStatement) as refused:
        for _ in read_statements(Endless(head, piece), format=declared, profile=profile):  # type: ignore[arg-type]  # A stream.
            pass
    return str(refused.value)


ENDLESS: dict[str, tuple[bytes, bytes, Format, str]] = {
    "texts of one entry": (
        BEFORE_ENTRIES + b"<Ntry>",
        b"<A>" + LONG + b"</A>",
        "camt",
        "Stmt 1: one entry or transaction holds more than",
    ),
    "attributes of one entry": (
        BEFORE_ENTRIES + b"<Ntry>",
        b"<A b='" + LONG + b"'/>",
        "camt",
        "Stmt 1: one entry or transaction holds more than",
    ),
    "texts of one transaction": (
        BEFORE_ENTRIES + b"<Ntry><NtryDtls><TxDtls><RmtInf>",
        b"<Ustrd>" + LONG + b"</Ustrd>",
        "camt",
        "Stmt 1: one entry or transaction holds more than",
    ),
    "descriptions of one line": (
        b":20:X\n:25:DE1\n:60F:C260302EUR0,\n:61:2603020302C1,NTRFX\n",
        b":86:text\n",
        "mt940",
        "line 205: more than 200 lines of :86: in a row",
    ),
    "lines of one row": (
        b"Datum;Betrag;Text\n",
        b'"x\n";',
        "csv",
        "line 2: the row has more than 200 lines",
    ),
}


@pytest.mark.parametrize(("head", "piece", "declared", "refusal"), ENDLESS.values(), ids=ENDLESS)
def test_what_has_no_end_is_refused_before_it_fills_the_memory(
    head: bytes, piece: bytes, declared: Format, refusal: str
) -> None:
    assert refusal_of_endless(head, piece, declared).startswith(refusal)


def test_texts_of_many_entries_are_no_text_of_one() -> None:
    many = [entry("10", inside=f"<AddtlNtryInf>{'x' * 19_000}</AddtlNtryInf>")] * 150
    assert len(lines_of(read(camt(*many)))) == 150


def test_a_batch_with_too_much_text_stays_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statement, "DETAILS_TEXT_MAX_CHARS", 10)
    part = '<TxDtls><Amt Ccy="EUR">5</Amt><RmtInf><Ustrd>twelve chars</Ustrd></RmtInf></TxDtls>'
    events = read(camt(*BALANCES, entry("10", details=part * 2)))
    (line,) = lines_of(events)
    assert (str(line.amount), line.part_no) == ("10.00", 0)
    assert ends_of(events)[0].notes == (
        "Ntry 1 of Stmt 1 has 2 transactions, too many or too long: kept as one line",
    )


def test_a_batch_with_long_names_of_customers_stays_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(statement, "DETAILS_TEXT_MAX_CHARS", 10)
    customer = "<RltdPties><Dbtr><Nm>twelve chars</Nm></Dbtr></RltdPties>"
    part = f'<TxDtls><Amt Ccy="EUR">5</Amt>{customer}</TxDtls>'
    (line,) = lines_of(read(camt(*BALANCES, entry("10", details=part * 2))))
    assert line.part_no == 0


def test_transactions_outside_an_entry_belong_to_none() -> None:
    stray = "<Other><X><TxDtls><Refs><EndToEndId>STRAY</EndToEndId></Refs></TxDtls></X></Other>"
    (line,) = lines_of(read(camt(*BALANCES, stray, entry("10"))))
    assert line.end_to_end is None


ACCT = b"<Acct><Id><IBAN>DE02</IBAN></Id></Acct>"


@pytest.mark.parametrize("place", [b"<ElctrncSeqNb>", b"</Stmt>"])
def test_a_statement_cannot_change_its_account(place: bytes) -> None:
    data = camt(*BALANCES, entry("10")).replace(place, ACCT + place, 1)
    with pytest.raises(MalformedStatement, match=r"^Stmt 1: a second Acct, or one after"):
        read(data)


def test_a_statement_without_its_account_is_refused() -> None:
    whole = camt(*BALANCES, entry("10"))
    start, end = whole.index(b"<Acct>"), whole.index(b"</Acct>") + len(b"</Acct>")
    with pytest.raises(MalformedStatement, match=r"^Stmt 1: the account \(Acct\) is missing"):
        read(whole[:start] + whole[end:])


@pytest.mark.parametrize("declared", ["auto", "camt", "mt940", "csv"])
@pytest.mark.parametrize(
    ("mark", "name"), [(b"\x1f\x8b\x08", "gzip"), (b"PK\x03\x04", "zip"), (b"%PDF-1.7", "PDF")]
)
def test_a_packed_file_is_refused_by_its_name(mark: bytes, name: str, declared: Any) -> None:
    with pytest.raises(MalformedStatement, match=f"^start of file: the file is {name}: unpack it"):
        list(read_statements(io.BytesIO(mark + b"x"), format=declared, profile=csv_profile()))


def test_a_header_has_1000_columns_at_most() -> None:
    wide = ";".join(["Datum", "Betrag", "Text", *(f"c{number}" for number in range(998))])
    with pytest.raises(MalformedStatement, match=r"^line 1: the header has more than 1000"):
        read(f"{wide}\n".encode(), "csv", csv_profile())


def a_profile_is_refused(says: str, **changes: Any) -> None:
    with pytest.raises(MalformedStatement, match=f"^profile: .*{says}"):
        read(b"Datum;Betrag;Text\n02.03.2026;1,00;x\n", "csv", csv_profile(**changes))


@pytest.mark.parametrize("repeated", ["%H%H", "%H%M%S %S", "%d%d"])
def test_a_date_format_has_each_part_once_so_that_a_text_matches_in_one_way(repeated: str) -> None:
    a_profile_is_refused("each once", date_format=f"%d.%m.%Y{repeated}")


def test_a_date_format_is_short() -> None:
    a_profile_is_refused("at most 40 characters", date_format=f"%d.%m.%Y{'x' * 40}")


@pytest.mark.parametrize("mark", ["\n", "\r", "\0"])
@pytest.mark.parametrize("field", ["delimiter", "quote"])
def test_no_mark_of_a_csv_file_is_a_line_break_or_nul(field: str, mark: str) -> None:
    a_profile_is_refused("must not be a line break or NUL", **{field: mark})


@pytest.mark.parametrize(
    "name", ["utf-7", "unicode_escape", "raw_unicode_escape", "punycode", "idna", "hz", "cp037"]
)
def test_an_encoding_reads_ascii_as_ascii(name: str) -> None:
    a_profile_is_refused("not an encoding that extends ASCII", encoding=name)


@pytest.mark.parametrize("name", ["utf-7", "idna", "punycode", "rot13", "hex", "zlib", "no-such"])
def test_xml_of_a_codec_that_is_no_encoding_is_refused(name: str) -> None:
    data = camt(*BALANCES, entry("10")).replace(b'"UTF-8"', f'"{name}"'.encode())
    with pytest.raises(MalformedStatement, match=r"^line 1: |^line 1, "):
        read(data, "camt")
