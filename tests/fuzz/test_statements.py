"""Statements, their profiles, and the requests about them: read exactly, or refused by a name."""

import io
import json
from decimal import Decimal
from typing import Any, get_args
from uuid import UUID
from xml.sax.saxutils import escape

from hypothesis import strategies as st

from payments_api.matching import act_schemas as matching
from payments_api.operations.requests import parse_model
from payments_api.reversals.create import parse_reversal
from payments_api.statements import schemas as statements
from payments_api.webhooks import schemas as webhooks
from payments_core.domain.money import amount_text
from payments_core.http.problems import Problem
from payments_core.statements.csv_profile import ProfileError, check_profile
from payments_core.statements.profile import storable_profile
from payments_core.statements.receive import shown_file_name
from payments_core.statements.sources import NewSource, SourceRefused
from payments_core.webhooks.destination import UrlRefused, parse_url
from recon_worker.statements.formats.model import Format, MalformedStatement
from recon_worker.statements.formats.read import read_statements
from testkit.fuzz.exploring import explored
from testkit.fuzz.inputs import JSON_VALUES, NUMBERS, TEXTS
from testkit.statements import balance, camt, csv_profile, ends_of, entry, lines_of, read

FORMATS = st.sampled_from(get_args(Format))
ROWS = st.text("0123456789CDRN,.;:\"'\r\n-+/?<>&=|é", max_size=300)
MT940 = ":20:X\n:25:DE1\n:28C:1/1\n:60F:C260302EUR0,\n{}\n:62F:C260302EUR0,\n-\n"


def _statement(data: bytes, declared: Format) -> None:
    profile = csv_profile() if declared == "csv" else None
    try:
        events = list(read_statements(io.BytesIO(data), format=declared, profile=profile))
    except MalformedStatement as refusal:
        assert refusal.problem
        assert refusal.position
        return
    for line in lines_of(events):
        assert line.amount
        assert abs(line.amount) < Decimal("1e15")
        assert "\0" not in f"{line.end_to_end}{line.bank_ref}{line.remittance}"
    ends = ends_of(events)
    for end in ends:
        if end.problem is None and end.opening is not None and end.closing is not None:
            assert end.opening + end.net == end.closing


@explored(FORMATS, st.binary(max_size=300) | TEXTS.map(lambda text: text.encode(errors="replace")))
def test_any_bytes_are_a_statement_or_refused_at_a_place(declared: Format, data: bytes) -> None:
    _statement(data, declared)


@explored(ROWS)
def test_any_fields_of_mt940_are_a_statement_or_refused_at_a_place(text: str) -> None:
    _statement(MT940.format(text).encode(), "mt940")


@explored(ROWS | st.lists(ROWS, max_size=4).map(";".join))
def test_any_rows_of_csv_are_a_statement_or_refused_at_a_place(text: str) -> None:
    _statement(f"Datum;Betrag;Text\n{text}\n".encode(), "csv")


XML_TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40)


@explored(NUMBERS | XML_TEXTS)
def test_any_amount_of_camt_is_exact_or_refused(text: str) -> None:
    try:
        lines = lines_of(read(camt(entry(escape(text))), "camt"))
    except MalformedStatement as refusal:
        assert refusal.position.startswith("Ntry 1 of Stmt 1")
    else:
        assert [line.amount for line in lines] == [Decimal(text)] * bool(Decimal(text))


@explored(XML_TEXTS, XML_TEXTS)
def test_any_texts_of_camt_are_kept_as_written(reference: str, text: str) -> None:
    refs = f"<Refs><EndToEndId>{escape(reference)}</EndToEndId></Refs>"
    told = f"<RmtInf><Ustrd>{escape(text)}</Ustrd></RmtInf>"
    details = f"<TxDtls>{refs}{told}</TxDtls>"
    data = camt(balance("OPBD", "0"), balance("CLBD", "1"), entry("1", details=details))
    (line,) = lines_of(read(data, "camt"))
    none = {"", "NOTPROVIDED", "NOT PROVIDED", "NONREF"}
    kept = reference.strip()
    assert line.end_to_end == (None if kept.upper() in none else kept)
    assert line.remittance == (text.strip() or None)


PROFILES = st.dictionaries(TEXTS, JSON_VALUES, max_size=4) | st.builds(
    lambda changes: csv_profile(**changes),
    st.dictionaries(
        st.sampled_from(["delimiter", "quote", "encoding", "date_format", "skip_rows", "currency"]),
        TEXTS | JSON_VALUES | st.sampled_from(["utf-7", "%d%m%Y%H%H", "\n", "idna"]),
        max_size=3,
    ),
)


@explored(PROFILES)
def test_any_profile_is_stored_and_read_by_or_refused(profile: dict[str, Any]) -> None:
    try:
        stored = storable_profile(profile)
    except ValueError as refusal:
        assert str(refusal).startswith("must ")
        return
    written = json.dumps(stored, ensure_ascii=False).encode()
    assert b"\\u0000" not in written
    assert json.loads(written) == stored
    try:
        check_profile("csv", stored)
    except ProfileError as refusal:
        assert str(refusal)
        return
    data = io.BytesIO(b"Datum;Betrag;Text\n02.03.2026;1,00;x\n")
    try:
        list(read_statements(data, format="csv", profile=stored))
    except MalformedStatement as refusal:
        assert refusal.position


@explored(TEXTS, TEXTS, TEXTS, TEXTS)
def test_any_source_is_normalised_or_refused_by_its_field(
    name: str, account: str, zone: str, channel: str
) -> None:
    try:
        source = NewSource(name, account, "EUR", channel=channel, time_zone=zone)
    except SourceRefused as refusal:
        assert refusal.field in ("name", "accountIdentifier", "channel", "timeZone")
    else:
        assert source.account_identifier == source.account_identifier.upper()


@explored(TEXTS | st.text("/\\.\u202e\0 ab", max_size=400))
def test_any_file_name_is_shown_as_one_short_line_of_text(name: str) -> None:
    shown = shown_file_name(name)
    assert shown is None or (shown.isprintable() and len(shown) <= 255)
    assert not shown or not {"/", "\\"} & set(shown)


REQUESTS: list[type[Any]] = [
    *(matching.LineRequest, matching.UndoRequest, matching.MatchRequest),
    *(matching.AnnotateRequest, statements.SourceRequest, statements.AcceptRequest),
    *(webhooks.WebhookRequest, webhooks.WebhookChange, webhooks.RotationRequest),
    *(webhooks.ActRequest, webhooks.ResendRequest),
]
FIELDS = [field.alias or name for each in REQUESTS for name, field in each.model_fields.items()]


@explored(
    st.sampled_from(REQUESTS), st.dictionaries(st.sampled_from(FIELDS) | TEXTS, JSON_VALUES | TEXTS)
)
def test_any_request_is_taken_or_refused_in_words_that_can_be_sent(
    model: type[Any], body: dict[str, Any]
) -> None:
    try:
        parse_model(model, body)
    except Problem as problem:
        json.loads(problem.as_answer("/").body)


REVERSALS = st.fixed_dictionaries(
    {},
    optional={
        "amount": NUMBERS | JSON_VALUES,
        "reason": TEXTS | JSON_VALUES,
        "reference": TEXTS | JSON_VALUES,
        "metadata": JSON_VALUES,
        "odd": JSON_VALUES,
    },
)


@explored(REVERSALS, st.sampled_from(["10", "10.00", "10.000"]))
def test_any_reversal_is_exact_or_refused(body: dict[str, Any], paid: str) -> None:
    try:
        new = parse_reversal(body, "key", UUID(int=1), Decimal(paid))
    except Problem as problem:
        json.loads(problem.as_answer("/").body)
        return
    assert len(new.fingerprint()) == 32
    if "amount" in body:
        assert new.amount is not None
        assert new.amount > 0
        assert Decimal(amount_text(new.amount)) == new.amount


SECRET_HOSTS = st.sampled_from(
    ["127.0.0.1", "[::1]", "169.254.169.254", "2130706433", "0x7f.1", "localhost", "10.0.0.1"]
)
URLS = TEXTS | st.builds(
    "{}://{}{}".format,
    st.sampled_from(["https", "http", "HTTPS", "ftp", ""]),
    SECRET_HOSTS | TEXTS | st.text("a.:[]@%\\", max_size=12),
    st.text("/?#:@ab\r\n", max_size=8),
)


@explored(URLS)
def test_any_url_of_a_webhook_leads_to_the_internet_or_is_refused(url: str) -> None:
    try:
        to = parse_url(url)
    except UrlRefused as refusal:
        assert str(refusal)
    else:
        assert (to.scheme, to.port) == ("https", 443)
        assert to.host not in ("localhost", "127.0.0.1", "::1", "169.254.169.254", "10.0.0.1")
        assert not {"\r", "\n", " "} & set(to.host + to.target)
