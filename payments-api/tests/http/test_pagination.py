"""Cursors stay valid from one release to the next."""

from datetime import UTC, datetime

import pytest

from payments_api.http.errors import InvalidCursor
from payments_api.http.pagination import CursorSigner
from payments_api.payments.filters import PaymentFilter

SIGNER = CursorSigner("a key of sixteen characters")
FILTER = PaymentFilter(
    tenant="acme",
    account_id="acme~acc_1",
    status="failed",
    currency="USD",
    discrepancy=True,
    created_from=datetime(2026, 1, 31, 12, tzinfo=UTC),
)
# A release that changes one of these breaks the paging of clients during its rollout.
NAMED_VALUES = {
    "tenant": "acme",
    "accountId": "acme~acc_1",
    "status": "failed",
    "currency": "USD",
    "discrepancy": "true",
    "createdFrom": "2026-01-31T12:00:00.000000Z",
    "createdTo": None,
}
CURSOR = "oaQvKANgmGwtG0Jg8c-Jwjc"


def test_filters_keep_the_names_and_values_of_earlier_releases() -> None:
    narrowing = {name: value for name, value in FILTER.named_values().items() if value is not None}
    assert narrowing == {name: value for name, value in NAMED_VALUES.items() if value is not None}


def test_a_cursor_of_an_earlier_release_is_valid() -> None:
    scope = {"list": "payments", **NAMED_VALUES}
    assert SIGNER.sign(scope, "7") == CURSOR
    assert SIGNER.read(scope, CURSOR) == "7"


def test_a_cursor_is_valid_in_a_release_that_adds_a_filter() -> None:
    cursor = SIGNER.sign({"list": "jobs", "status": "failed"}, "7")
    assert SIGNER.read({"list": "jobs", "status": "failed", "added": None}, cursor) == "7"
    with pytest.raises(InvalidCursor):
        SIGNER.read({"list": "jobs", "status": "failed", "added": "x"}, cursor)
