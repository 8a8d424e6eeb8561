"""Parsing: any request gives a value or one of the API's own errors."""

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import strategies as st
from werkzeug.datastructures import MultiDict

from payments_api.auth.tenants import account_id_in
from payments_api.http.errors import InvalidCursor, MalformedJson
from payments_api.http.json_body import parse_json_object
from payments_api.http.messages import header_fields, header_text
from payments_api.http.pagination import CursorSigner
from payments_api.http.query_params import Query, moment_of
from payments_api.operations.requests import (
    ActionRequest,
    DiscardRequest,
    ReplayRequest,
    parse_model,
)
from payments_api.payments.parsing import parse_idempotency_key, parse_payment
from payments_core.domain.ids import uuid_or_none
from payments_core.domain.money import amount_text
from payments_core.http.problems import Problem
from payments_core.observability.trace_context import valid_traceparent
from testkit.fuzz.exploring import explored
from testkit.fuzz.inputs import BODIES, JSON_VALUES, TEXTS, orders

SIGNER = CursorSigner("a key of sixteen characters")
KEYS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=255)
SCOPES = st.dictionaries(TEXTS, TEXTS, max_size=3)


def _has_valid_errors(problem: Problem) -> None:
    json.dumps(problem.as_json(), ensure_ascii=False).encode(errors="replace")
    assert 400 <= problem.status < 500


def _holds_no_float(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_holds_no_float(item) for item in value.values())
    if isinstance(value, list):
        return all(_holds_no_float(item) for item in value)
    return value is None or isinstance(value, bool | str | Decimal)


@explored(BODIES)
def test_any_bytes_are_an_exact_json_object_or_malformed(raw: bytes) -> None:
    try:
        body = parse_json_object(raw)
    except MalformedJson as problem:
        _has_valid_errors(problem)
    else:
        # No field is nested more deeply than this.
        assert len(raw) > 2_000 or _holds_no_float(body)


@explored(
    st.dictionaries(TEXTS, st.none() | st.booleans() | TEXTS | st.integers(-(10**300), 10**300))
)
def test_valid_json_is_parsed_exactly(value: dict[str, Any]) -> None:
    assert parse_json_object(json.dumps(value).encode()) == value


@explored(orders(), KEYS)
def test_any_object_is_an_order_that_round_trips_or_is_rejected(
    body: dict[str, Any], key: str
) -> None:
    try:
        order = parse_payment(body, key)
    except Problem as problem:
        _has_valid_errors(problem)
        assert problem.errors
        return
    assert order.amount.is_finite()
    assert len(order.fingerprint()) == 32
    normalised = {
        "accountId": order.account_id,
        "amount": amount_text(order.amount),
        "currency": order.currency,
        "description": order.description,
    }
    assert parse_payment(normalised, key) == order
    json.dumps(normalised, ensure_ascii=False).encode()


@explored(st.lists(st.text(st.characters(max_codepoint=0xFF), max_size=300), max_size=3))
def test_any_header_is_an_idempotency_key_or_rejected(values: list[str]) -> None:
    pairs = [(b"idempotency-key", value.encode("latin-1")) for value in values]
    try:
        key = parse_idempotency_key(header_text(header_fields(pairs), b"idempotency-key"))
    except Problem as problem:
        _has_valid_errors(problem)
    else:
        assert 1 <= len(key) <= 255
        assert key.isprintable()
        assert " " not in key


@explored(KEYS)
def test_a_key_quoted_as_in_rfc_8941_is_the_key(key: str) -> None:
    quoted = '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'
    assert parse_idempotency_key(f" {quoted}\t") == key
    if not key.startswith('"'):
        assert parse_idempotency_key(key) == key


@explored(SCOPES, TEXTS.filter(lambda text: text.isprintable()), SCOPES)
def test_a_cursor_is_valid_only_for_its_own_list(
    scope: dict[str, str], position: str, elsewhere: dict[str, str]
) -> None:
    cursor = SIGNER.sign(scope, position)
    assert SIGNER.read(scope, cursor) == position
    if elsewhere != scope:
        with pytest.raises(InvalidCursor):
            SIGNER.read(elsewhere, cursor)


@explored(SCOPES, TEXTS | st.text("ABCab01-_=", max_size=50))
def test_any_unsigned_text_is_no_cursor(scope: dict[str, str], text: str) -> None:
    with pytest.raises(InvalidCursor):
        SIGNER.read(scope, text)


@explored(SCOPES, st.integers(0, 10_000), st.characters())
def test_a_changed_cursor_is_rejected(scope: dict[str, str], place: int, character: str) -> None:
    cursor = SIGNER.sign(scope, "01936f5e-3c7a-7d5e-9a51-0b6c8f1d2e3f")
    place %= len(cursor)
    changed = cursor[:place] + character + cursor[place + 1 :]
    if changed != cursor:
        with pytest.raises(InvalidCursor):
            SIGNER.read(scope, changed)


NAMES = st.sampled_from(["limit", "at", "currency", "accountId", "discrepancy", "other"])
ARGUMENTS = st.lists(st.tuples(NAMES, TEXTS | st.from_regex(r"\A-?[0-9]{1,12}\Z")), max_size=3)


@explored(ARGUMENTS)
def test_any_query_is_parsed_or_rejected(arguments: list[tuple[str, str]]) -> None:
    try:
        query = Query(MultiDict(arguments), "limit", "at", "currency", "accountId", "discrepancy")
        assert 1 <= query.limit() <= 200
        query.flag("discrepancy")
        query.currency("USD")
        account_id_in(query, None)
        account_id_in(query, "acme")
        query.time("at")
    except Problem as problem:
        _has_valid_errors(problem)


OFFSETS = st.integers(-(23 * 60 + 59), 23 * 60 + 59).map(lambda m: timezone(timedelta(minutes=m)))


@explored(st.datetimes(timezones=OFFSETS))
def test_every_time_is_parsed_exactly_or_out_of_range(moment: datetime) -> None:
    try:
        utc = moment.astimezone(UTC)
    except OverflowError:
        with pytest.raises(ValueError, match="must be a time"):
            moment_of(moment.isoformat())
    else:
        assert moment_of(moment.isoformat()) == utc


@explored(TEXTS | st.from_regex(r"[0-9T:.+Z -]{0,40}"))
def test_any_text_is_a_time_an_id_or_neither(text: str) -> None:
    try:
        assert moment_of(text).tzinfo is UTC
    except ValueError as error:
        assert "must be a time" in str(error)
    found = uuid_or_none(text)
    assert found is None or str(found) == text.lower()


@explored(st.text(st.characters(max_codepoint=0xFF)) | st.from_regex(r"\A[0-9a-f-]{0,60}\Z"))
def test_any_header_is_a_traceparent_or_ignored(text: str) -> None:
    found = valid_traceparent(text)
    assert found is None or (found.isascii() and len(found) == 55)


OPERATOR_FIELDS = st.sampled_from(
    ["actor", "reason", "errorContains", "accountId", "createdFrom", "createdTo", "limit", "dryRun"]
)
OPERATOR_BODIES = st.dictionaries(OPERATOR_FIELDS | TEXTS, JSON_VALUES, max_size=5)


@explored(st.sampled_from([ActionRequest, DiscardRequest, ReplayRequest]), OPERATOR_BODIES)
def test_any_object_is_an_operator_request_or_rejected_by_field(
    model: type[ActionRequest], body: dict[str, Any]
) -> None:
    try:
        requested = parse_model(model, body)
    except Problem as problem:
        _has_valid_errors(problem)
        assert problem.errors
    else:
        # The Operator header may name the operator instead.
        assert requested.actor is None or requested.actor.strip()
        assert "\0" not in (requested.actor or "") + requested.reason
