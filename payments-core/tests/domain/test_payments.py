"""Payments: the accounts that they may name, and the equality of two requests."""

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments_core.domain.money import parse_amount
from payments_core.domain.payments import (
    CreatedPayment,
    NewPayment,
    is_account_id,
    is_reference,
    is_source,
    is_system_account,
    metadata_text,
    utc_text,
)

ORDER = NewPayment("key", "acc_1", Decimal("100.00"), "USD", "Invoice 7")

ACCOUNT_IDS = [
    ("acc_1", True),
    ("ACC-1", True),
    ("7", True),
    ("_", True),
    ("user+tag@example.org", True),
    ("sys:clearing:usd", True),  # A valid account id; the API rejects payments into it.
    ("a" * 128, True),
    ("a" * 129, False),
    ("", False),
    (" ", False),
    ("acc 1", False),
    (" acc", False),
    ("acc\n", False),
    ("-acc", False),
    ("../acc", False),
    ("a/b", False),
    ("a%2Fb", False),
    ("a\0b", False),
    ("=1+1", False),
    ("é", False),
    ("\U0001f600", False),
    ("<b>", False),
    ("'; DROP TABLE payments; --", False),
]

descriptions = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
orders = st.builds(
    NewPayment,
    idempotency_key=st.just("key"),
    account_id=st.from_regex(r"\A[a-z0-9_][a-z0-9_.:@+-]{0,20}\Z"),
    amount=st.decimals(-1000, 1000, places=2),
    currency=st.sampled_from(["USD", "EUR"]),
    description=descriptions,
    reference=st.none() | st.sampled_from(["R", "1.00"]),
    metadata=st.dictionaries(descriptions, descriptions, max_size=3).map(metadata_text),
    source=st.sampled_from(["default", "bank"]),
)

REFERENCES = [
    ("INV-2026-7", True),
    ("a", True),
    ("a/b c?:().,'+-Z9", True),
    ("x" * 35, True),
    ("x" * 36, False),
    ("", False),
    (" a", False),
    ("a ", False),
    ("/a", False),
    ("a/", False),
    ("a//b", False),
    ("a\n", False),
    ("a\0", False),
    ("a_b", False),
    ("a&b", False),
    ("a*b", False),
    ("é", False),
    ("\uff21", False),
]


@pytest.mark.parametrize(("text", "expected"), ACCOUNT_IDS)
def test_an_account_id_is_plain_ascii(text: str, expected: bool) -> None:
    assert is_account_id(text) is expected


@pytest.mark.parametrize(("text", "expected"), REFERENCES)
def test_a_reference_has_only_characters_that_banks_accept(text: str, expected: bool) -> None:
    assert is_reference(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((text, True) for text in ("a", "0-b", "a" * 32)),
        *((text, False) for text in ("", "a" * 33, "-a", "A", "a\n", "a_b", "a:b", "é")),
    ],
)
def test_a_source_is_a_short_name(text: str, expected: bool) -> None:
    assert is_source(text) is expected


def test_a_request_of_earlier_releases_keeps_its_fingerprint() -> None:
    earlier = hashlib.sha256(b"acc_1\x1f100.00\x1fUSD\x1fInvoice 7").digest()
    assert ORDER.fingerprint() == earlier


@pytest.mark.parametrize("account_id", ["sys:clearing:00", "SYS:x", "Sys:", "sYs:a"])
def test_system_accounts_are_recognised_in_any_case(account_id: str) -> None:
    assert is_system_account(account_id)
    assert not is_system_account(account_id[1:])


def test_the_fingerprint_excludes_the_key() -> None:
    assert replace(ORDER, idempotency_key="other").fingerprint() == ORDER.fingerprint()


@pytest.mark.parametrize("amount", ["100", "1e2", "100.0", "100.00"])
def test_spellings_of_an_amount_have_the_same_fingerprint(amount: str) -> None:
    assert replace(ORDER, amount=parse_amount(amount, "USD")).fingerprint() == ORDER.fingerprint()


@pytest.mark.parametrize(
    "other",
    [
        replace(ORDER, account_id="acc_2"),
        replace(ORDER, account_id="ACC_1"),
        replace(ORDER, account_id="acc_", amount=Decimal("1100.00")),
        replace(ORDER, amount=Decimal("100.01")),
        replace(ORDER, amount=Decimal("-100.00")),
        replace(ORDER, currency="EUR"),
        replace(ORDER, description="Invoice 8"),
        replace(ORDER, description="Invoice 7 "),
        replace(ORDER, description=""),
        replace(ORDER, reference="R"),
        replace(ORDER, metadata='{"a": "b"}'),
        replace(ORDER, source="bank-1"),
        replace(ORDER, account_id="", description="acc_1"),
    ],
)
def test_a_changed_field_changes_the_fingerprint(other: NewPayment) -> None:
    assert other.fingerprint() != ORDER.fingerprint()


@given(orders, orders)
def test_two_orders_share_a_fingerprint_only_if_they_are_equal(
    one: NewPayment, other: NewPayment
) -> None:
    assert (one.fingerprint() == other.fingerprint()) == (one == other)


@given(orders)
def test_composed_and_decomposed_letters_are_different_descriptions(order: NewPayment) -> None:
    composed, decomposed = replace(order, description="é"), replace(order, description="e\u0301")
    assert composed.fingerprint() != decomposed.fingerprint()


def test_an_answer_is_always_the_pending_payment() -> None:
    made = datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=UTC)
    payment = CreatedPayment(UUID(int=7), "acc_1", Decimal("100.00"), "USD", "é", made)
    assert payment.json_text("acc_1") == (
        '{"id": "00000000-0000-0000-0000-000000000007", "accountId": "acc_1",'
        ' "amount": "100.00", "currency": "USD", "description": "é", "reference": null,'
        ' "metadata": {}, "source": "default", "status": "pending",'
        ' "createdAt": "2026-01-31T12:00:00.000005Z"}'
    )


@given(st.text())
def test_a_formatted_answer_equals_the_encoders(description: str) -> None:
    payment = CreatedPayment(
        UUID(int=7), "acc_1", Decimal(1), "JPY", description, datetime.now(UTC)
    )
    text = payment.json_text("acc_1")
    assert json.dumps(json.loads(text), ensure_ascii=False) == text
    assert json.loads(text)["description"] == description


def test_a_time_is_formatted_equally_for_every_zone() -> None:
    at = datetime(2026, 1, 31, 12, tzinfo=UTC)
    there = at.astimezone(timezone(timedelta(hours=2)))
    assert utc_text(there) == utc_text(at) == "2026-01-31T12:00:00.000000Z"


# asyncpg returns infinite times without a zone.
@pytest.mark.parametrize("end", [datetime.min, datetime.max])  # noqa: DTZ901
def test_an_infinite_time_is_formatted_as_the_nearest(end: datetime) -> None:
    assert utc_text(end) == end.isoformat(timespec="microseconds") + "Z"


@given(st.datetimes(timezones=st.just(UTC)))
def test_times_are_formatted_to_the_microsecond(at: datetime) -> None:
    assert datetime.fromisoformat(utc_text(at)) == at
