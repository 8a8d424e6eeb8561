"""Whole camt files: statements, balances, encodings, and what XML must not do."""

import io
import tracemalloc
from collections.abc import Iterable
from contextlib import suppress
from datetime import date
from decimal import Decimal
from typing import BinaryIO, cast

import pytest

from recon_worker.statements.formats.model import MalformedStatement, StatementHeader
from recon_worker.statements.formats.read import read_statements
from testkit.statements import balance, camt, ends_of, entry, lines_of, read


@pytest.mark.parametrize("version", ["02", "04", "06", "08", "10", "13"])
@pytest.mark.parametrize(
    ("message", "kind"),
    [("camt.052", "report"), ("camt.053", "statement"), ("camt.054", "notification")],
)
def test_every_version_is_read_by_local_names(message: str, kind: str, version: str) -> None:
    events = read(camt(entry("1"), message=f"{message}.001.{version}"))
    header = events[0]
    assert isinstance(header, StatementHeader)
    assert (header.kind, header.message) == (kind, f"{message}.001.{version}")
    assert (header.account, header.currency) == ("DE89370400440532013000", "EUR")
    assert (header.bank_id, header.sequence) == ("S1", "7")


def test_a_namespace_prefix_and_an_envelope_change_nothing() -> None:
    plain = camt(entry("1"))
    prefixed = plain.decode().replace("xmlns=", "xmlns:c=")
    for name in ("Document", "BkToCstmrStmt", "Stmt", "Ntry", "Amt", "CdtDbtInd", "Sts", "BookgDt"):
        prefixed = prefixed.replace(f"<{name}", f"<c:{name}").replace(f"</{name}>", f"</c:{name}>")
    body = plain.decode().split("\n", 1)[1]
    envelope = f'<Msg xmlns="urn:x"><AppHdr><Fr>A</Fr></AppHdr>{body}</Msg>'
    assert lines_of(read(prefixed.encode())) == lines_of(read(plain))
    assert read(envelope.encode()) == read(plain)


def test_a_statement_that_closes_has_no_problem() -> None:
    (end,) = ends_of(
        read(
            camt(
                balance("OPBD", "100", on="2026-03-01"),
                balance("CLBD", "70.5", "DBIT", on="2026-03-02"),
                balance("CLAV", "9999"),
                entry("200", "DBIT"),
                entry("29.5"),
                entry("5", status="<Sts>PDNG</Sts>"),
            )
        )
    )
    assert end.problem is None
    assert (end.opening, end.closing, end.net) == tuple(
        map(Decimal, ("100.00", "-70.50", "-170.50"))
    )
    assert (end.from_on, end.to_on) == (date(2026, 3, 1), date(2026, 3, 2))
    assert end.entry_count == 3


def test_a_statement_that_does_not_close_names_the_gap() -> None:
    (end,) = ends_of(read(camt(balance("OPBD", "100"), balance("CLBD", "90"), entry("5", "DBIT"))))
    assert end.problem
    assert "-5.00 is not explained" in end.problem


@pytest.mark.parametrize(
    ("balances", "missing"),
    [((balance("OPBD", "1"),), "closing"), ((balance("CLBD", "1"),), "opening"), ((), "opening")],
)
def test_a_statement_without_a_balance_is_not_proven(
    balances: tuple[str, ...], missing: str
) -> None:
    (end,) = ends_of(read(camt(*balances, entry("1"))))
    assert end.problem
    assert missing in end.problem


def test_the_previous_closing_balance_may_be_the_opening_one() -> None:
    (end,) = ends_of(read(camt(balance("PRCD", "1"), balance("CLBD", "2"), entry("1"))))
    assert (str(end.opening), end.problem) == ("1.00", None)


def test_two_interim_balances_bound_a_page() -> None:
    (end,) = ends_of(read(camt(balance("ITBD", "1"), balance("ITBD", "2"), entry("1"))))
    assert (str(end.opening), str(end.closing), end.problem) == ("1.00", "2.00", None)


def test_balances_decide_whether_reversals_are_flipped() -> None:
    # OCA/bank-statement-import 375: a bank that gives the original entry's direction.
    reversal = entry("10", "DBIT", inside="<RvslInd>true</RvslInd>")
    plain = entry("1", "CRDT")
    as_written = read(camt(balance("OPBD", "0"), balance("CLBD", "9", "DBIT"), reversal, plain))
    flipped = read(camt(balance("OPBD", "0"), balance("CLBD", "11"), reversal, plain))
    neither = read(camt(balance("OPBD", "0"), balance("CLBD", "12"), reversal, plain))
    assert [end.reversals_flipped for end in ends_of(as_written)] == [False]
    (end,) = ends_of(flipped)
    assert (end.reversals_flipped, str(end.net), end.problem) == (True, "11.00", None)
    assert "flipped" in end.notes[0]
    assert lines_of(flipped)[0].reversal
    (end,) = ends_of(neither)
    assert (end.reversals_flipped, str(end.net)) == (False, "-9.00")
    assert end.problem


def test_a_report_needs_no_balances_but_its_count_must_hold() -> None:
    summary = "<TxsSummry><TtlNtries><NbOfNtries>2</NbOfNtries></TtlNtries></TxsSummry>"
    (short,) = ends_of(read(camt(summary, entry("1"), message="camt.054.001.08")))
    (whole,) = ends_of(read(camt(summary, entry("1"), entry("1"), message="camt.054.001.08")))
    assert short.problem == "TxsSummry counts 2 entries, but there are 1"
    assert whole.problem is None


def test_several_statements_and_accounts_stay_apart() -> None:
    two = camt(entry("1")).decode()
    second = two[two.index("<Stmt>") : two.index("</Stmt>") + 7]
    second = second.replace("DE89", "DE90").replace("<Id>S1</Id>", "<Id>S2</Id>")
    events = read(two.replace("</Stmt>", "</Stmt>" + second).encode())
    headers = [event for event in events if isinstance(event, StatementHeader)]
    assert [(h.number, h.account, h.bank_id) for h in headers] == [
        (1, "DE89370400440532013000", "S1"),
        (2, "DE90370400440532013000", "S2"),
    ]
    assert [end.entry_count for end in ends_of(events)] == [1, 1]
    assert [line.position for line in lines_of(events)] == ["Ntry 1 of Stmt 1", "Ntry 1 of Stmt 2"]


NAMED = entry(
    "1", details="<TxDtls><RltdPties><Dbtr><Nm>Jürgen Müller</Nm></Dbtr></RltdPties></TxDtls>"
)
UTF8 = camt(NAMED)
LATIN9 = UTF8.decode().encode("iso-8859-15")


@pytest.mark.parametrize(
    ("data", "profile", "encoding"),
    [
        (UTF8, None, "utf-8"),
        (b"\xef\xbb\xbf" + UTF8, None, "utf-8"),
        (UTF8.decode().replace("UTF-8", "UTF-16").encode("utf-16"), None, "utf-16"),
        (LATIN9.replace(b"UTF-8", b"ISO-8859-15"), None, "iso-8859-15"),
        (LATIN9.replace(b"UTF-8", b"windows-1252"), None, "windows-1252"),
        (LATIN9, {"encoding": "iso-8859-15"}, "iso8859-15"),
        (UTF8, {"encoding": "iso-8859-15"}, "utf-8"),  # The bytes show that they are UTF-8.
    ],
)
def test_names_survive_every_encoding(
    data: bytes, profile: dict[str, object] | None, encoding: str
) -> None:
    events = read(data, "camt", profile)
    assert lines_of(events)[0].counterparty == "Jürgen Müller"
    assert ends_of(events)[0].encoding == encoding


def test_a_wrongly_declared_encoding_is_refused_with_its_line() -> None:
    with pytest.raises(MalformedStatement) as refusal:
        read(LATIN9)
    line = LATIN9[: LATIN9.index(b"\xfc")].count(b"\n") + 1
    assert refusal.value.position == f"line {line}"
    assert "0xFC is not utf-8" in refusal.value.problem


@pytest.mark.parametrize("name", ["utf-99", "utf-16", "hex", 5, ""])
def test_an_invalid_encoding_of_the_profile_is_refused(name: object) -> None:
    with pytest.raises(MalformedStatement, match=r"profile: .*encoding"):
        read(UTF8, "camt", {"encoding": name})


DOCTYPE = "<!DOCTYPE Document {}>"
DOCTYPES = {
    "empty": DOCTYPE.format(""),
    "entity": DOCTYPE.format('[<!ENTITY a "b">]'),
    "external": DOCTYPE.format('SYSTEM "file:///etc/passwd"'),
    "laughs": DOCTYPE.format('[<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]'),
}


@pytest.mark.parametrize("doctype", DOCTYPES.values(), ids=DOCTYPES)
def test_a_doctype_is_refused(doctype: str) -> None:
    data = UTF8.decode().replace("<Document", doctype + "<Document", 1).encode()
    with pytest.raises(MalformedStatement, match="DOCTYPE"):
        read(data)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (UTF8.replace(b"<Ntry>", b"<Ntry>&undefined;"), "undefined entity"),
        (UTF8.replace(b"</Ntry>", b""), "mismatched tag"),
        (UTF8[:-15], "ends early"),
        (UTF8 + b"<more/>", "junk after document element"),
        (UTF8.replace(b"<Ntry>", b"<Ntry>" + b"<a>" * 60_000), "more than 20000 elements"),
        (UTF8.replace(b"<Ntry>", b"<Ntry>" + b"<a/>" * 60_000), "more than 20000 elements"),
        (UTF8.replace(b"UTF-8", b"ebcdic-9"), "cannot be read"),
        (b"<?xml version='1.0'?><html/>", "not camt"),
        (b"", "empty"),
    ],
)
def test_broken_xml_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(MalformedStatement, match=says):
        read(data)


class Stream(io.RawIOBase):
    """A file that delivers these blocks, whatever size is asked for."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)

    def read(self, size: int = -1) -> bytes:
        return next(self._blocks, b"")


def peak_bytes(blocks: Iterable[bytes]) -> int:
    """Return the most memory that reading the file takes, refused or not."""
    stream = cast("BinaryIO", Stream(blocks))
    tracemalloc.start()
    try:
        with suppress(MalformedStatement):
            for _ in read_statements(stream, format="camt"):
                pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("piece", [b"x", b"<!-- ", b"<Amt ", b"<a/>", b"<a>"])
def test_an_endless_piece_is_refused_in_little_memory(piece: bytes) -> None:
    start, end = UTF8.split(b"<Ntry>", 1)
    blocks = [start + b"<Ntry>", *[piece * (65536 // len(piece))] * 1024, end]
    with pytest.raises(MalformedStatement):
        read(b"".join(blocks[:40]))
    assert peak_bytes(blocks) < 32 * 2**20


@pytest.mark.parametrize(
    "piece", [b"<n%d/>", b'<a n%d=""/>', b'<a xmlns:n%d="n"/>', b'<a xmlns="n%d"/>']
)
def test_many_different_names_are_refused(piece: bytes) -> None:
    names = b"".join(piece % number for number in range(3000))
    with pytest.raises(MalformedStatement, match="different names"):
        read(UTF8.replace(b"<Ntry>", b"<Ntry>" + names))


@pytest.mark.parametrize("many", [1, 1900])
def test_names_with_a_long_namespace_are_refused_in_little_memory(many: int) -> None:
    names = b"".join(b"<a%d/>" % number for number in range(many))
    data = UTF8.replace(b"<Ntry>", b'<x xmlns="%b">%b</x><Ntry>' % (b"u" * 200_000, names))
    with pytest.raises(MalformedStatement, match="a namespace has more than 1000 characters"):
        read(data)
    assert peak_bytes([data]) < 16 * 2**20


def test_long_names_are_refused() -> None:
    names = b"".join(b"<%b%d/>" % (b"n" * 1000, number) for number in range(300))
    with pytest.raises(MalformedStatement, match="names too long"):
        read(UTF8.replace(b"<Ntry>", b"<Ntry>" + names))


@pytest.mark.parametrize(
    "amount", ["10<b/>0.00", "10.00<b/>", "<b/>10.00", "<b>10.00</b>", "1<b>0</b>.00"]
)
def test_an_element_with_children_has_no_value(amount: str) -> None:
    data = camt(balance("OPBD", "0"), balance("CLBD", "10"), entry("10"))
    before, after = b'<Amt Ccy="EUR">10</Amt><CdtDbtInd>CRDT', b"</Amt><CdtDbtInd>CRDT"
    assert data.count(before) == 2
    mixed = b'<Amt Ccy="EUR">' + amount.encode() + after
    with pytest.raises(MalformedStatement, match="is not an amount"):
        read(mixed.join(data.rsplit(before, 1)))


def test_nested_elements_of_one_block_do_no_harm() -> None:
    nested = b"<a>" * 8_000 + b"</a>" * 8_000
    assert lines_of(read(UTF8.replace(b"<Ntry>", b"<Ntry>" + nested))) == lines_of(read(UTF8))


def test_memory_does_not_grow_with_the_number_of_entries() -> None:
    one = entry("1", details="<TxDtls><Refs><EndToEndId>E</EndToEndId></Refs></TxDtls>").encode()
    start, end = camt("@").split(b"@")
    few, many = (peak_bytes([start, *[one] * count, end]) for count in (1000, 8000))
    # Kept in memory, 7,000 more entries would take megabytes: an element alone has 100 bytes.
    assert many < few + 2**20
