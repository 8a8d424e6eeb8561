"""MT942: a report without balances, with counts that must hold."""

from datetime import date

from recon_worker.statements.formats.model import (
    StatementHeader,
)
from testkit.statements import ends_of, read

from .mt94x import MT942


def test_an_mt942_is_a_report_without_balances() -> None:
    header, *_, end = read(MT942.encode())
    assert isinstance(header, StatementHeader)
    assert (header.kind, header.message) == ("report", "MT942")
    assert (header.account, header.currency) == ("DE89370400440532013000", "EUR")
    (end,) = ends_of([end])
    assert (str(end.net), end.opening, end.problem) == ("-6.00", None, None)
    assert end.to_on == date(2026, 3, 3)


def test_the_counts_of_an_mt942_must_hold() -> None:
    (end,) = ends_of(read(MT942.replace(":90C:1EUR4,", ":90C:2EUR5,").encode()))
    assert end.problem
    assert "state 3 lines of -5.00, but there are 2 of -6.00" in end.problem
