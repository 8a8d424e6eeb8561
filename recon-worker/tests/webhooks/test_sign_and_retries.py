"""Signatures as Standard Webhooks verifies them, and the schedule of retries."""

import base64
import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from time import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from payments_core.domain.webhooks import RETRIED_DAYS
from payments_core.webhooks.endpoints import new_secret, secret_text
from recon_worker.webhooks.retries import BACKOFF_SECONDS_MAX, delay_seconds, retry_after_seconds
from recon_worker.webhooks.sign import signed_headers


@given(
    st.uuids().map(lambda one: f"evt_{one.hex}"),
    st.text(st.characters(codec="utf-8")),
    st.lists(st.binary(min_size=24, max_size=64), min_size=1, max_size=2, unique=True),
)
def test_the_librarys_verifier_accepts_each_live_secret(
    event_id: str, body: str, secrets: list[bytes]
) -> None:
    headers = dict(signed_headers(event_id, int(time()), body.encode(), secrets))
    for secret in secrets:
        Webhook(secret_text(secret)).verify(body.encode(), headers, json_parse=False)
    other = Webhook(secret_text(new_secret()))
    for wrong in (headers | {"webhook-id": "evt_other"}, headers | {"webhook-timestamp": "1"}):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret_text(secrets[0])).verify(body.encode(), wrong, json_parse=False)
    with pytest.raises(WebhookVerificationError):
        other.verify(body.encode(), headers, json_parse=False)


def test_the_signature_is_the_one_of_the_libraries_own_tests() -> None:
    """The vector with which the libraries of Standard Webhooks are tested."""
    headers = signed_headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
        [base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")],
    )
    assert headers == [
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp", "1614265330"),
        ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ]


def test_delays_grow_from_seconds_to_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "random", lambda: 1.0)
    longest = [delay_seconds(attempts) for attempts in range(1, 16)]
    assert longest[:4] == [5, 10, 20, 40]
    assert longest[-1] == BACKOFF_SECONDS_MAX == 6 * 3600
    assert longest == sorted(longest)
    assert delay_seconds(10_000) == BACKOFF_SECONDS_MAX
    monkeypatch.setattr(random, "random", lambda: 0.0)
    assert delay_seconds(10_000) == 0


def test_three_days_hold_a_bounded_number_of_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "random", lambda: 0.5)
    waited, attempts = 0.0, 1
    while waited < RETRIED_DAYS * 86_400:
        waited += delay_seconds(attempts)
        attempts += 1
    assert 25 < attempts < 45


NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "header", "seconds"),
    [
        (429, "120", 120),
        (503, " 7 ", 7),
        (429, "0", 0),
        (429, "99999999999999999999", 3600),
        (429, format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90),
        (503, format_datetime(NOW + timedelta(days=9), usegmt=True), 3600),
        (503, format_datetime(NOW - timedelta(days=9), usegmt=True), 0),
        (429, "-5", 0),
        (429, "soon", 0),
        (429, "١٢", 0),
        (429, "Mon, 99 Foo 2026 99:99:99 GMT", 0),
        (429, None, 0),
        (500, "120", 0),
        (200, "120", 0),
    ],
)
def test_retry_after_is_honoured_within_an_hour(
    status: int, header: str | None, seconds: float
) -> None:
    assert retry_after_seconds(status, header, NOW) == seconds
