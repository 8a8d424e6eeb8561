"""Our MT940 reader beside mt-940, an independent one, on the same statements."""

from datetime import date, timedelta
from decimal import Decimal

import mt940
import pytest
from hypothesis import given
from hypothesis import strategies as st

from testkit.statements import SAMPLES, ends_of, lines_of, read

MARKS = {"C": 1, "D": -1, "RC": -1, "RD": 1}
AMOUNTS = st.decimals(Decimal("0.01"), Decimal(10**11), places=2)  # SWIFT: 15 characters.
REFERENCES = st.text("ABCXYZ0123456789", min_size=1, max_size=16)


@st.composite
def transactions(draw: st.DrawFn) -> tuple[str, Decimal, date, date]:
    """Return a :61:, and the signed amount, value date and entry date that it means."""
    valued_on = draw(st.dates(date(2001, 1, 1), date(2060, 12, 31)))
    booked_on = valued_on + timedelta(days=draw(st.integers(-30, 30)))
    mark, amount = draw(st.sampled_from(sorted(MARKS))), draw(AMOUNTS)
    written = f"{amount:f}".replace(".", ",")
    text = (
        f":61:{valued_on:%y%m%d}{booked_on:%m%d}{mark}{written}NTRF{draw(REFERENCES)}"
        f"//{draw(REFERENCES)}"
    )
    return text, MARKS[mark] * amount, valued_on, booked_on


@given(drawn=st.lists(transactions(), min_size=1, max_size=8))
def test_both_readers_agree(drawn: list[tuple[str, Decimal, date, date]]) -> None:
    body = "\n".join(text for text, *_ in drawn)
    closing = sum((amount for _, amount, *_ in drawn), Decimal(0))
    mark = "D" if closing < 0 else "C"
    text = (
        f":20:T1\n:25:DE89\n:28C:1/1\n:60F:C260302EUR0,\n{body}\n"
        f":62F:{mark}260303EUR{abs(closing):.2f}\n".replace(".", ",")
        + "-\n"
    )
    events = read(text.encode())
    ours = [
        (x.amount, x.valued_on, x.booked_on, x.end_to_end, x.bank_ref) for x in lines_of(events)
    ]
    theirs = [
        (
            x["amount"].amount,
            x["date"],
            x["entry_date"],
            x["customer_reference"],
            x["bank_reference"],
        )
        for x in (t.data for t in mt940.parse(text, options=mt940.Options.all()))
    ]
    assert ours == theirs
    assert [(amount, on, entry) for amount, on, entry, *_ in ours] == [
        (amount, on, entry) for _, amount, on, entry in drawn
    ]
    assert ends_of(events)[0].problem is None


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the samples of statements are not beside")
def test_both_readers_agree_on_a_bank_s_file() -> None:
    data = (SAMPLES / "mt940/betterplace_sepa_mt9401.sta").read_bytes()
    theirs = []
    for statement in data.decode("ascii").split("\n-"):
        if ":20:" in statement:
            parsed = mt940.parse(statement, options=mt940.Options.all())
            theirs += [(t.data["amount"].amount, t.data["date"]) for t in parsed]
    ours = [(line.amount, line.valued_on) for line in lines_of(read(data))]
    assert ours == theirs
