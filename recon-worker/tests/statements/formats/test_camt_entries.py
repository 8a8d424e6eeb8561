"""One camt entry: signs, dates, references, batches, charges, currencies."""

from datetime import date
from decimal import Decimal

import pytest

from recon_worker.statements.formats.model import MalformedStatement, StatementLine
from testkit.statements import camt, ends_of, entry, lines_of, read


def transaction(amount: str = "", refs: str = "", more: str = "", currency: str = "EUR") -> str:
    """Return a TxDtls with an amount of its own, references, and further elements."""
    own = f'<Amt Ccy="{currency}">{amount}</Amt>' if amount else ""
    return f"<TxDtls><Refs>{refs}</Refs>{own}{more}</TxDtls>"


def the_line(*entries: str) -> StatementLine:
    (line,) = lines_of(read(camt(*entries)))
    return line


def parts(*entries: str) -> list[tuple[int, int, str, str | None]]:
    lines = lines_of(read(camt(*entries)))
    return [(line.line_no, line.part_no, str(line.amount), line.end_to_end) for line in lines]


@pytest.mark.parametrize(
    ("sign", "reversal", "amount"),
    [
        ("CRDT", "", "10.50"),
        ("DBIT", "", "-10.50"),
        # CdtDbtInd is the true direction; RvslInd only labels it.
        ("CRDT", "<RvslInd>true</RvslInd>", "10.50"),
        ("DBIT", "<RvslInd>1</RvslInd>", "-10.50"),
        ("DBIT", "<RvslInd>false</RvslInd>", "-10.50"),
    ],
)
def test_the_indicator_gives_the_sign(sign: str, reversal: str, amount: str) -> None:
    line = the_line(entry("10.5", sign, inside=reversal))
    assert str(line.amount) == amount
    assert line.reversal == (">true<" in reversal or ">1<" in reversal)


@pytest.mark.parametrize(
    ("status", "booking"),
    [
        ("<Sts>BOOK</Sts>", "booked"),
        ("<Sts>PDNG</Sts>", "pending"),
        ("<Sts>INFO</Sts>", "information"),
        ("<Sts><Cd>BOOK</Cd></Sts>", "booked"),
        ("<Sts><Cd>FUTR</Cd></Sts>", "pending"),
        ("", "booked"),
    ],
)
def test_only_booked_entries_count(status: str, booking: str) -> None:
    events = read(camt(entry("10", status=status), message="camt.052.001.08"))
    assert lines_of(events)[0].booking == booking
    assert ends_of(events)[0].net == (10 if booking == "booked" else 0)


@pytest.mark.parametrize(
    ("dates", "booked_on", "valued_on"),
    [
        ("<BookgDt><Dt>2026-03-02</Dt></BookgDt>", date(2026, 3, 2), None),
        # The written calendar date holds, whatever the zone.
        ("<BookgDt><DtTm>2026-03-02T00:30:00+02:00</DtTm></BookgDt>", date(2026, 3, 2), None),
        ("<BookgDt><DtTm>2026-03-02T23:59:59.999Z</DtTm></BookgDt>", date(2026, 3, 2), None),
        ("<BookgDt><Dt>2026-03-02+01:00</Dt></BookgDt>", date(2026, 3, 2), None),
        ("<ValDt><Dt>2026-03-03</Dt></ValDt>", date(2026, 3, 3), date(2026, 3, 3)),
    ],
)
def test_dates_are_taken_as_written(dates: str, booked_on: date, valued_on: date | None) -> None:
    line = the_line(entry("10", dates=dates))
    assert (line.booked_on, line.valued_on) == (booked_on, valued_on)


def test_an_entry_without_a_date_takes_that_of_its_statement_and_says_so() -> None:
    events = read(camt("<CreDtTm>2026-03-04T01:00:00+14:00</CreDtTm>", entry("10", dates="")))
    assert lines_of(events)[0].booked_on == date(2026, 3, 4)
    assert "has no date" in ends_of(events)[0].notes[0]


@pytest.mark.parametrize(
    ("refs", "end_to_end", "bank_ref", "batch_ref"),
    [
        ("<EndToEndId>INV-1</EndToEndId>", "INV-1", "BANK-1", None),
        ("<EndToEndId>NOTPROVIDED</EndToEndId>", None, "BANK-1", None),
        ("<EndToEndId>notprovided</EndToEndId>", None, "BANK-1", None),
        ("<EndToEndId> </EndToEndId>", None, "BANK-1", None),
        ("<InstrId>INS-1</InstrId><EndToEndId>NOTPROVIDED</EndToEndId>", "INS-1", "BANK-1", None),
        ("<AcctSvcrRef>TX-1</AcctSvcrRef>", None, "TX-1", None),
        ("<PmtInfId>PAIN-1</PmtInfId>", None, "BANK-1", "PAIN-1"),
    ],
)
def test_references(
    refs: str, end_to_end: str | None, bank_ref: str | None, batch_ref: str | None
) -> None:
    line = the_line(
        entry(
            "10",
            inside="<AcctSvcrRef>BANK-1</AcctSvcrRef>",
            details=transaction("10.00", refs),
        )
    )
    assert (line.end_to_end, line.bank_ref, line.batch_ref) == (end_to_end, bank_ref, batch_ref)


def test_a_batch_is_split_into_its_transactions() -> None:
    # OCA/bank-statement-import 157: each got the total.
    batch = entry(
        "429.56",
        details="<Btch><PmtInfId>RUN-1</PmtInfId><NbOfTxs>2</NbOfTxs></Btch>"
        + transaction("329.56", "<EndToEndId>A</EndToEndId>")
        + transaction("100", "<EndToEndId>B</EndToEndId>"),
    )
    lines = lines_of(read(camt(batch, entry("1"))))
    assert [(line.line_no, line.part_no, line.amount) for line in lines] == [
        (1, 1, Decimal("329.56")),
        (1, 2, Decimal("100.00")),
        (2, 0, Decimal("1.00")),
    ]
    assert [line.batch_ref for line in lines] == ["RUN-1", "RUN-1", None]


def test_a_transaction_may_carry_its_amount_in_the_amount_details() -> None:
    def details(amount: str) -> str:
        return transaction(more=f'<AmtDtls><TxAmt><Amt Ccy="EUR">{amount}</Amt></TxAmt></AmtDtls>')

    split = parts(entry("30", details=details("10") + details("20")))
    assert split == [(1, 1, "10.00", None), (1, 2, "20.00", None)]


def test_transactions_of_both_directions_sum_to_their_entry() -> None:
    debit = "<CdtDbtInd>DBIT</CdtDbtInd>"
    split = parts(entry("80", details=transaction("100") + transaction("20", more=debit)))
    assert split == [(1, 1, "100.00", None), (1, 2, "-20.00", None)]


def test_two_batches_in_one_entry_name_it_neither() -> None:
    def batch(name: str) -> str:
        return f"<Btch><PmtInfId>{name}</PmtInfId></Btch>" + transaction("10")

    two = entry("20", details=batch("RUN-1") + "</NtryDtls><NtryDtls>" + batch("RUN-2"))
    assert [line.batch_ref for line in lines_of(read(camt(two)))] == [None, None]


def test_a_batch_without_details_stays_one_line() -> None:
    line = the_line(entry("429.56", "DBIT", details="<Btch><PmtInfId>RUN-1</PmtInfId></Btch>"))
    assert (line.part_no, line.amount, line.batch_ref) == (0, Decimal("-429.56"), "RUN-1")


@pytest.mark.parametrize(
    "details",
    [
        transaction("10") + transaction("19.99"),  # Another sum.
        transaction() + transaction(),  # No amounts.
        transaction("10", currency="USD") + transaction("20", currency="USD"),
    ],
)
def test_details_that_do_not_sum_to_their_entry_leave_it_whole(details: str) -> None:
    events = read(camt(entry("30", details=details)))
    assert [(line.part_no, line.amount) for line in lines_of(events)] == [(0, Decimal("30.00"))]
    assert lines_of(events)[0].end_to_end is None
    assert "kept as one line" in ends_of(events)[0].notes[0]


def test_charges_inside_an_entry_become_a_part_of_their_own() -> None:
    # OCA/bank-statement-import 976: the 26 were lost.
    charges = '<Chrgs><Amt Ccy="EUR">26</Amt><CdtDbtInd>DBIT</CdtDbtInd></Chrgs>'
    paid = transaction("1500", "<EndToEndId>INV-7</EndToEndId>")
    expected = [(1, 1, "-1500.00", "INV-7"), (1, 2, "-26.00", None)]
    assert parts(entry("1526", "DBIT", inside=charges, details=paid)) == expected
    nested = transaction("1500", "<EndToEndId>INV-7</EndToEndId>", charges)
    assert parts(entry("1526", "DBIT", details=nested)) == expected


def test_charges_are_taken_from_a_credit() -> None:
    charges = (
        '<Chrgs><TtlChrgsAndTaxAmt Ccy="EUR">2</TtlChrgsAndTaxAmt>'
        '<Rcrd><Amt Ccy="EUR">1.50</Amt><CdtDbtInd>DBIT</CdtDbtInd></Rcrd>'
        '<Rcrd><Amt Ccy="EUR">0.50</Amt></Rcrd></Chrgs>'
    )
    split = parts(entry("98", inside=charges, details=transaction("100")))
    assert split == [(1, 1, "100.00", None), (1, 2, "-2.00", None)]


def test_charges_that_the_bank_only_names_stay_on_the_line() -> None:
    charges = '<Chrgs><Amt Ccy="EUR">2</Amt></Chrgs>'
    line = the_line(entry("98", inside=charges, details=transaction("98")))
    assert (line.amount, line.charges) == (Decimal("98.00"), Decimal("2.00"))


def test_the_amount_in_another_currency_is_kept_beside_the_account_s() -> None:
    # OCA/bank-statement-import 385: the foreign amount was booked.
    instructed = '<AmtDtls><InstdAmt><Amt Ccy="USD">11</Amt></InstdAmt></AmtDtls>'
    line = the_line(entry("10", "DBIT", details=transaction(more=instructed)))
    assert (line.amount, line.currency) == (Decimal("-10.00"), "EUR")
    assert (line.original_amount, line.original_currency) == (Decimal("-11.00"), "USD")


def test_structured_and_free_remittance_are_both_kept() -> None:
    # genkgo/camt 58: the free text replaced the reference.
    remittance = (
        "<RmtInf><Ustrd>Invoice 7</Ustrd><Ustrd>of March</Ustrd><Strd><CdtrRefInf>"
        "<Ref>RF18539007547034</Ref></CdtrRefInf></Strd></RmtInf>"
    )
    line = the_line(entry("10", details=transaction(more=remittance)))
    assert line.remittance == "RF18539007547034\nInvoice 7\nof March"


@pytest.mark.parametrize("party", ["<Nm>Ada</Nm>", "<Pty><Nm>Ada</Nm></Pty>"])
@pytest.mark.parametrize("sign", ["CRDT", "DBIT"])
def test_the_counterparty_is_the_other_side(sign: str, party: str) -> None:
    own, other = ("Cdtr", "Dbtr") if sign == "CRDT" else ("Dbtr", "Cdtr")
    parties = f"<RltdPties><{own}><Nm>We</Nm></{own}><{other}>{party}</{other}></RltdPties>"
    line = the_line(entry("10", sign, details=transaction(more=parties)))
    assert line.counterparty == "Ada"


def test_a_return_names_its_reason_and_code() -> None:
    code = (
        "<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>IRCT</Cd><SubFmlyCd>RRTN</SubFmlyCd></Fmly></Domn>"
        "</BkTxCd>"
    )
    returned = transaction(more="<RtrInf><Rsn><Cd>AC04</Cd></Rsn></RtrInf>")
    line = the_line(entry("10", "DBIT", inside=code, details=returned))
    assert (line.return_reason, line.code) == ("AC04", "PMNT-IRCT-RRTN")


def test_an_entry_of_zero_is_left_out_and_noted() -> None:
    events = read(camt(entry("0.00"), entry("1")))
    assert [line.line_no for line in lines_of(events)] == [2]
    assert ends_of(events)[0].notes == ("Ntry 1 of Stmt 1 has an amount of zero and is left out",)


def test_identical_entries_are_two_lines() -> None:
    assert len(lines_of(read(camt(entry("4.50", "DBIT"), entry("4.50", "DBIT"))))) == 2


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (entry("12..34"), "'12..34' is not an amount"),
        (entry("-5"), "'-5' is not an amount"),
        (entry("1,50"), "'1,50' is not an amount"),
        (entry("1.005"), "more than 2 decimals in EUR"),
        (entry("1" + "0" * 15), "between -10^15 and 10^15"),
        (entry("10", sign="HABEN"), "CdtDbtInd is 'HABEN'"),
        (entry("10", status="<Sts>DONE</Sts>"), "Sts is 'DONE'"),
        (entry("10", currency="euro"), "'euro' is not a currency"),
        (entry("10", currency="USD"), "in USD, but the account is in EUR"),
        (entry("10", dates="<BookgDt><Dt>2026-02-30</Dt></BookgDt>"), "2026-02-30"),
        (entry("10", dates="<BookgDt><Dt>02.03.2026</Dt></BookgDt>"), "is not a date"),
        (entry("10", dates="<BookgDt><Dt>0000-01-01</Dt></BookgDt>"), "0000-01-01"),
        (entry("10", dates=""), "has a date"),
        (entry("10", inside="<RvslInd>yes</RvslInd>"), "RvslInd is 'yes'"),
        (entry("10", details=transaction("x")), "'x' is not an amount"),
        (entry("1", details=transaction("1", f"<EndToEndId>{'x' * 300}</EndToEndId>")), "300 char"),
        ("<Ntry/>", "no Amt"),
    ],
)
def test_a_broken_entry_is_refused_with_its_position(broken: str, says: str) -> None:
    with pytest.raises(MalformedStatement) as refusal:
        read(camt(entry("1"), broken))
    assert "Ntry 2 of Stmt 1" in refusal.value.position
    assert says in refusal.value.problem


def test_a_batch_too_long_to_split_stays_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recon_worker.statements.formats.camt.statement.DETAILS_MAX", 2)
    events = read(camt(entry("3", details=transaction("1") * 3)))
    assert [(line.part_no, line.amount) for line in lines_of(events)] == [(0, Decimal("3.00"))]
    assert "3 transactions" in ends_of(events)[0].notes[0]
