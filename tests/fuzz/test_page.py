"""Every text in a form or a statement is shown and never executed."""

import csv
import io
import json
from urllib.parse import urljoin, urlsplit

from hypothesis import strategies as st

from payments_core.domain.ids import uuid_or_none
from payments_ui.payments.filters import Filters
from payments_ui.payments.forms import PayForm
from payments_ui.sign_in.next_page import next_page
from payments_ui.web.csv_download import csv_line, safe_cell
from payments_ui.web.formatting import money, parse_time, time_tag
from payments_ui.web.forms import as_sentence
from testkit.fuzz.exploring import explored
from testkit.fuzz.inputs import TEXTS

# Forms are decoded with replacement characters, so their text has no lone surrogate.
TYPED = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
TIMES = (
    TYPED
    | st.datetimes().map(lambda at: at.isoformat())
    | st.from_regex(r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}([+-][0-9]{2}:[0-9]{2}|Z)?\Z")
)
PAY_FIELDS = st.sampled_from(["accountId", "amount", "currency", "description", "idempotencyKey"])
FILTER_FIELDS = st.sampled_from(["account", "status", "currency", "start", "end"])


@explored(st.dictionaries(PAY_FIELDS | TYPED, TYPED, max_size=6))
def test_any_form_is_a_body_or_names_its_missing_fields(sent: dict[str, str]) -> None:
    form = PayForm.read(sent)
    json.dumps(form.body(), ensure_ascii=False).encode()
    assert uuid_or_none(form.idempotency_key)
    if uuid_or_none(sent.get("idempotencyKey", "")):
        assert form.idempotency_key == sent["idempotencyKey"]
    assert bool(form.errors) == (not form.account_id or not form.amount)


@explored(st.dictionaries(TYPED, TYPED, max_size=3))
def test_any_api_errors_become_sentences(fields: dict[str, str]) -> None:
    form = PayForm()
    form.take_errors(fields)
    for name, detail in fields.items():
        assert as_sentence(name, detail).endswith(".")


@explored(st.dictionaries(FILTER_FIELDS, TIMES, max_size=5))
def test_any_filters_survive_a_round_trip_through_the_url(sent: dict[str, str]) -> None:
    filters = Filters.read(sent)
    assert Filters.read(filters.query()) == filters
    assert bool(filters.api_params()) == bool(filters)


@explored(TIMES)
def test_any_text_is_a_time_or_shown_unchanged(text: str) -> None:
    at = parse_time(text)
    tag = time_tag(text)
    assert ("<time" in tag) == (at is not None)
    assert "<script" not in tag


@explored(TYPED | st.from_regex(r"\A-?[0-9]{1,30}(\.[0-9]{1,4})?\Z") | st.just("9" * 5000))
def test_any_text_is_an_amount_or_shown_unchanged(text: str) -> None:
    assert money(text) == text or money(text).replace(",", "").lstrip("\N{MINUS SIGN}0") == (
        text.lstrip("-0")
    )


FORMULAS = st.builds(
    "{}{}".format, st.sampled_from(["=", "+", "-", "@", "\t", "\r", "\n", "=-", "-1+"]), TEXTS
)


@explored(st.lists(TYPED | FORMULAS | st.integers(), min_size=1, max_size=8))
def test_any_line_of_a_statement_reads_back_and_holds_no_formula(cells: list[str | int]) -> None:
    (read,) = csv.reader(io.StringIO(csv_line(cells), newline=""), strict=True)
    assert read == [safe_cell(cell) for cell in cells]
    for cell, shown in zip(cells, read, strict=True):
        assert shown in (str(cell), f"'{cell}")
        if shown[:1] in {"=", "+", "-", "@", "\t", "\r", "\n"}:
            assert shown.removeprefix("-").replace(".", "", 1).isdecimal()


ADDRESSES = TYPED | st.text("/\\:@.?#%[]ab\t\r\n ", max_size=20) | TYPED.map("/{}".format)


@explored(ADDRESSES)
def test_sign_in_redirects_to_no_other_site(text: str) -> None:
    # Normalised as in browsers: a backslash is a slash, and tabs and line ends are removed.
    page = next_page(text).replace("\\", "/").translate({9: None, 10: None, 13: None})
    assert urlsplit(urljoin("https://here.example/sign-in", page)).netloc == "here.example"
    assert next_page(next_page(text)) == next_page(text)
