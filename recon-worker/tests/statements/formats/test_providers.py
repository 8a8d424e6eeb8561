"""Reports of Stripe and Adyen: gross and charges as parts, payouts as control totals."""

from datetime import date
from decimal import Decimal

import pytest

from recon_worker.statements.formats.model import MalformedStatement, StatementHeader
from testkit.statements import ends_of, lines_of, read

STRIPE_HEADER = (
    "automatic_payout_id,automatic_payout_effective_at,balance_transaction_id,created,"
    "available_on,currency,gross,fee,net,reporting_category,source_id,description,"
    "customer_facing_amount,customer_facing_currency,charge_id,payment_intent_id"
)


def stripe(*rows: str) -> bytes:
    return "\n".join([STRIPE_HEADER, *rows, ""]).encode()


def row(
    number: int,
    gross: str,
    fee: str,
    net: str,
    category: str = "charge",
    payout: str = "po_1",
    currency: str = "usd",
) -> str:
    intent = f"pi_{number}" if category == "charge" else ""
    return (
        f"{payout},2026-03-04 00:00:00,txn_{number},2026-03-02 23:30:00,2026-03-04 00:00:00,"
        f'{currency},{gross},{fee},{net},{category},src_{number},"Order, {number}",,,,{intent}'
    )


CHARGES = (row(1, "100.00", "3.20", "96.80"), row(2, "50.00", "1.75", "48.25"))
REFUND = row(3, "-20.00", "0.00", "-20.00", "refund")
PAYOUT = row(4, "-125.05", "0", "-125.05", "payout")


def test_a_stripe_row_is_its_gross_and_its_fee() -> None:
    events = read(stripe(*CHARGES, REFUND, PAYOUT))
    header, end = events[0], ends_of(events)[0]
    assert isinstance(header, StatementHeader)
    assert (header.format, header.currency) == ("stripe", "USD")
    lines = lines_of(events)
    assert [(x.line_no, x.part_no, str(x.amount), x.code) for x in lines] == [
        (1, 1, "100.00", "charge"),
        (1, 2, "-3.20", "CHRG"),
        (2, 1, "50.00", "charge"),
        (2, 2, "-1.75", "CHRG"),
        (3, 0, "-20.00", "refund"),
        (4, 0, "-125.05", "payout"),
    ]
    assert (lines[0].end_to_end, lines[0].bank_ref, lines[0].batch_ref) == ("pi_1", "txn_1", "po_1")
    assert (lines[1].end_to_end, lines[1].bank_ref, lines[1].batch_ref) == (None, None, "po_1")
    assert (lines[0].booked_on, lines[0].valued_on) == (date(2026, 3, 2), date(2026, 3, 4))
    assert lines[0].remittance == "Order, 1"
    assert (end.net, end.problem) == (Decimal(0), None)


def test_a_payout_that_is_not_the_sum_of_its_rows_names_the_residual() -> None:
    # Automattic/woocommerce-payments 8588: the residual was left out.
    short = row(4, "-124.05", "0", "-124.05", "payout")
    (end,) = ends_of(read(stripe(*CHARGES, REFUND, short)))
    assert end.problem == "payout po_1: 1.00 is not in its payout row"


def test_rows_without_their_payout_row_are_a_problem() -> None:
    (end,) = ends_of(read(stripe(*CHARGES)))
    assert end.problem == "payout po_1: rows of 145.05 and no payout row"


def test_rows_of_several_payouts_may_be_mixed() -> None:
    other = row(5, "10.00", "0.00", "10.00", payout="po_2")
    paid = row(6, "-10.00", "0.00", "-10.00", "payout", "po_2")
    (end,) = ends_of(read(stripe(other, *CHARGES, paid, REFUND, PAYOUT)))
    assert end.problem is None
    (end,) = ends_of(read(stripe(other, *CHARGES)))
    assert end.problem
    assert "po_1" in end.problem
    assert "po_2" in end.problem


def test_rows_outside_a_payout_need_no_total() -> None:
    (end,) = ends_of(read(stripe(row(1, "10.00", "1.00", "9.00", payout=""))))
    assert (end.problem, str(end.net)) == (None, "9.00")


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (row(5, "10.00", "1.00", "8.00"), "do not make net 8.00"),
        (row(5, "10,00", "1.00", "9.00"), "cells, the header"),
        (row(5, "10.00", "1.00", "9.00", currency="eur"), "export one report"),
        (row(5, "10.00", "x", "9.00"), "'x' is no amount"),
        (row(5, "10.00", "1.00", "9.00", currency="dollar"), "is not a currency"),
        (row(5, "10.00", "1.00", "9.00")[:-20], "cells, the header"),
    ],
)
def test_a_broken_stripe_row_is_refused_with_its_line(broken: str, says: str) -> None:
    with pytest.raises(MalformedStatement, match=says) as refusal:
        read(stripe(CHARGES[0], broken), "stripe")
    assert refusal.value.position == "line 3"


ADYEN_HEADER = (
    "Company Account,Merchant Account,Psp Reference,Merchant Reference,Payment Method,"
    "Creation Date,TimeZone,Type,Modification Reference,Gross Currency,Gross Debit (GC),"
    "Gross Credit (GC),Exchange Rate,Net Currency,Net Debit (NC),Net Credit (NC),Commission (NC),"
    "Markup (NC),Scheme Fees (NC),Interchange (NC),Payment Method Variant,"
    "Modification Merchant Reference,Batch Number"
)
ADYEN_ROWS = (
    "Co,ShopECOM,PSP1,INV-1,visa,2026-03-02 23:30:00,CET,Settled,MOD1,EUR,,100.00,1,EUR,,98.50,,"
    "0.60,0.20,0.70,visa,,7",
    "Co,ShopECOM,PSP2,INV-2,mc,2026-03-02 10:00:00,CET,Settled,MOD2,USD,,50.00,0.9,EUR,,44.00,1.00,"
    ",,,mc,,7",
    "Co,ShopECOM,PSP1,INV-1,visa,2026-03-03 10:00:00,CET,Refunded,MOD3,EUR,20.00,,1,EUR,20.10,,0.10"
    ",,,,visa,,7",
    "Co,ShopECOM,,,,2026-03-03 10:00:00,CET,Fee,Transaction Fees,,,,,EUR,2.40,,,,,,,,7",
    "Co,ShopECOM,,,,2026-03-03 12:00:00,CET,MerchantPayout,TX1XXBATCH7,,,,,EUR,120.00,,,,,,,,7",
)


def adyen(*rows: str) -> bytes:
    return "\n".join([ADYEN_HEADER, *rows, ""]).encode()


def test_an_adyen_row_is_its_gross_and_its_charges() -> None:
    events = read(adyen(*ADYEN_ROWS))
    header, end = events[0], ends_of(events)[0]
    assert isinstance(header, StatementHeader)
    assert (header.format, header.account, header.currency) == ("adyen", "SHOPECOM", "EUR")
    lines = lines_of(events)
    assert [(x.line_no, x.part_no, str(x.amount), x.code) for x in lines] == [
        (1, 1, "100.00", "Settled"),
        (1, 2, "-1.50", "CHRG"),
        (2, 1, "45.00", "Settled"),
        (2, 2, "-1.00", "CHRG"),
        (3, 1, "-20.00", "Refunded"),
        (3, 2, "-0.10", "CHRG"),
        (4, 0, "-2.40", "Fee"),
        (5, 0, "-120.00", "MerchantPayout"),
    ]
    assert (lines[0].end_to_end, lines[0].bank_ref, lines[0].batch_ref) == ("INV-1", "PSP1", "7")
    assert (lines[2].original_amount, lines[2].original_currency) == (Decimal("50.00"), "USD")
    assert lines[7].bank_ref == "TX1XXBATCH7"
    assert (end.net, end.problem) == (Decimal(0), None)


def test_an_adyen_payout_that_differs_from_its_rows_names_the_residual() -> None:
    (end,) = ends_of(read(adyen(*ADYEN_ROWS[:3], ADYEN_ROWS[4])))
    assert end.problem == "payout 7: 2.40 is not in its payout row"


def test_two_merchant_accounts_in_one_report_are_refused() -> None:
    other = ADYEN_ROWS[0].replace("ShopECOM", "OtherECOM")
    with pytest.raises(MalformedStatement, match=r"line 3: .*export one report for each"):
        read(adyen(ADYEN_ROWS[0], other))
