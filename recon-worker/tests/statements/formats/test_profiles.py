"""Profiles: an invalid one says what to fix."""

from typing import Any

import pytest

from payments_core.statements.csv_profile import ProfileError, check_profile
from recon_worker.statements.formats.model import MalformedStatement
from testkit.statements import csv_profile as profile
from testkit.statements import read


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        (None, "needs a profile"),
        ({}, "delimiter: Field required"),
        (profile(delimiter=";;"), "delimiter"),
        (profile(delimiter='"'), "delimiter must not be"),
        (profile(colour="red"), "colour: Extra inputs"),
        (profile(sign="guess"), "sign"),
        (profile(sign="columns"), 'the sign rule "columns" does not use columns.amount'),
        (profile(sign="indicator"), "needs columns.indicator"),
        (profile(columns={"amount": None}), "needs columns.amount"),
        (profile(columns={"debit": "Soll"}), "does not use columns.debit"),
        (profile(thousands_mark=","), "thousands_mark"),
        (profile(date_format="%d.%m."), "date_format needs"),
        (profile(date_format="%d.%b.%Y"), "date_format needs"),
        (profile(encoding="utf-99"), "encoding"),
        (profile(currency=None), "either currency or columns.currency"),
        (profile(columns={"currency": "Ccy"}), "either currency or columns.currency"),
        (profile(currency="euro"), "currency"),
        (profile(columns={"status": "S"}), "go together"),
        (profile(columns={"original_amount": "O"}), "go together"),
        (profile(skip_rows=-1), "skip_rows"),
    ],
)
def test_an_invalid_profile_says_what_to_fix(declared: dict[str, Any] | None, says: str) -> None:
    with pytest.raises(ProfileError) as refusal:
        check_profile("csv", declared)
    assert says in str(refusal.value)


def test_the_profile_of_another_format_holds_an_encoding_alone() -> None:
    check_profile("camt", {"encoding": "cp1252"})
    check_profile("mt940", None)
    with pytest.raises(ProfileError, match="delimiter"):
        check_profile("camt", {"delimiter": ";"})
    with pytest.raises(ProfileError, match="an object"):
        check_profile("mt940", ["cp1252"])


@pytest.mark.parametrize("declared", [None, profile(delimiter=";;")])
def test_a_file_is_refused_if_the_profile_of_its_source_is_invalid(
    declared: dict[str, Any] | None,
) -> None:
    with pytest.raises(MalformedStatement, match="profile: the profile of the source cannot"):
        read(b"Datum;Betrag;Text\n", "csv", declared)
