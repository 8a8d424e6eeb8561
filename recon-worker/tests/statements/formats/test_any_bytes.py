"""Whatever the bytes: an answer or a refusal, the same for every delivery of them."""

import io
from collections.abc import Sequence
from contextlib import suppress
from typing import get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from recon_worker.statements.formats.model import Event, Format, MalformedStatement
from recon_worker.statements.formats.read import read_statements
from testkit.statements import CSV_PROFILE, balance, camt, ends_of, entry, lines_of, read

DETAILS = (
    "<Btch><PmtInfId>RUN</PmtInfId></Btch>"
    '<TxDtls><Amt Ccy="EUR">4</Amt></TxDtls><TxDtls><Amt Ccy="EUR">6</Amt></TxDtls>'
)
CAMT = camt(
    balance("OPBD", "100"),
    balance("CLBD", "107"),
    entry("10", details=DETAILS),
    entry("3", "DBIT", inside="<AddtlNtryInf>Gebühr</AddtlNtryInf>"),
)
MT940 = """:20:T1
:25:DE89370400440532013000
:28C:1/1
:60F:C260302EUR100,
:61:2603030303C10,NTRFREF//BANK
:86:166?00GUTSCHRIFT?20EREF+INV-1?32Jürgen
:61:2603030303D3,NTRFNONREF
:86:free text
:62F:C260303EUR107,00
-
""".encode()
MT942 = b""":20:T2
:25:DE89370400440532013000
:28C:1/1
:34F:EURC0,
:61:2603030303C10,NTRFREF//BANK
:61:2603030303D3,NTRFNONREF
:90D:1EUR3,
:90C:1EUR10,
"""
STRIPE = b"""automatic_payout_id,balance_transaction_id,created,currency,gross,fee,net,\
reporting_category,description
po_1,txn_1,2026-03-02 10:00:00,eur,100.00,3.00,97.00,charge,"a, b"
po_1,txn_2,2026-03-04 00:00:00,eur,-97.00,0.00,-97.00,payout,
"""
ADYEN = b"""Merchant Account,Psp Reference,Merchant Reference,Creation Date,Type,\
Modification Reference,Gross Currency,Gross Debit (GC),Gross Credit (GC),Net Currency,\
Net Debit (NC),Net Credit (NC),Commission (NC),Markup (NC),Scheme Fees (NC),Interchange (NC),\
Batch Number
Shop,P1,INV-1,2026-03-02 10:00:00,Settled,M1,EUR,,100.00,EUR,,97.00,3.00,,,,7
Shop,,,2026-03-03 10:00:00,MerchantPayout,TX1,,,,EUR,97.00,,,,,,7
"""
CSV = 'Datum;Betrag;Text\n02.03.2026;5,00;Müller\n03.03.2026;-1.234,56;"a\nb"\n'.encode()
WHOLE: dict[str, tuple[Format, bytes]] = {
    "camt": ("camt", CAMT),
    "mt940": ("mt940", MT940),
    "mt942": ("mt940", MT942),
    "stripe": ("stripe", STRIPE),
    "adyen": ("adyen", ADYEN),
}


class Pieces(io.BytesIO):
    """A file that delivers pieces of these sizes, in turn."""

    def __init__(self, data: bytes, sizes: Sequence[int]) -> None:
        super().__init__(data)
        self._sizes = sizes
        self._reads = 0

    def read(self, size: int | None = -1) -> bytes:
        self._reads += 1
        return super().read(min(size or 1, self._sizes[self._reads % len(self._sizes)]))


def answer(data: bytes, declared: Format, sizes: Sequence[int] = (1 << 20,)) -> list[Event] | str:
    """Return the events, or the refusal; any other exception fails the test."""
    try:
        profile = CSV_PROFILE if declared == "csv" else None
        return list(read_statements(Pieces(data, sizes), format=declared, profile=profile))
    except MalformedStatement as refusal:
        return str(refusal)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Return a statement with some bytes replaced, removed or repeated."""
    data = bytearray(draw(st.sampled_from([CSV, *(whole for _, whole in WHOLE.values())])))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 30))
        data[at : at + length] = draw(
            st.one_of(st.binary(max_size=8), st.just(bytes(data[at : at + length] * 2)))
        )
    return bytes(data)


@pytest.mark.parametrize("declared", get_args(Format))
@given(
    data=st.one_of(st.binary(max_size=200), damaged()),
    sizes=st.lists(st.integers(1, 99), min_size=1),
)
@example(data=b"\xff\xfe<\x00", sizes=[1])
@example(data=b"<?xml version='1.0' encoding='utf-7'?><a/>", sizes=[1])
def test_any_bytes_are_read_or_refused_however_they_arrive(
    declared: Format, data: bytes, sizes: list[int]
) -> None:
    assert answer(data, declared) == answer(data, declared, sizes)


@given(data=st.binary(max_size=400))
def test_any_bytes_are_detected_or_refused(data: bytes) -> None:
    with suppress(MalformedStatement):
        read(data)


@pytest.mark.parametrize(("declared", "whole"), WHOLE.values(), ids=WHOLE)
def test_a_truncated_file_never_passes_for_a_whole_one(declared: Format, whole: bytes) -> None:
    expected = answer(whole, declared)
    assert isinstance(expected, list)
    assert ends_of(expected)[0].problem is None
    for size in range(len(whole)):
        events = answer(whole[:size], declared)
        if isinstance(events, list) and ends_of(events)[0].problem is None:
            assert lines_of(events) == lines_of(expected)
            assert ends_of(events)[0].closing == ends_of(expected)[0].closing


def test_a_csv_file_cut_within_a_row_is_refused() -> None:
    for size in range(len(CSV)):
        if not CSV[:size].endswith(b"\n"):
            assert isinstance(answer(CSV[:size], "csv"), str)
