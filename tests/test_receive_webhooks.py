"""The receivers in docs/how-to/receive-webhooks.md, against requests as the worker signs them."""

import base64
import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from payments_api.events.schemas import EXAMPLES
from payments_core.webhooks.deliveries import body_of
from payments_core.webhooks.endpoints import new_secret, secret_text
from payments_local.ports import free_port
from recon_worker.webhooks.sign import signed_headers
from testkit.waiting import WAIT_SECONDS_MAX

PAGE = Path(__file__).resolve().parents[1] / "docs/how-to/receive-webhooks.md"
RECEIVER, BY_HAND = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
EVENT = EXAMPLES["payment.completed"]
BODY = body_of(EVENT).encode()
ID = str(EVENT["id"])
SECRET = new_secret()

Headers = dict[str, str]


def headers_at(seconds: float, *secrets: bytes) -> Headers:
    """Return the headers of an attempt so many seconds from now."""
    return dict(signed_headers(ID, int(time.time() + seconds), BODY, secrets or (SECRET,)))


def without_signature() -> Headers:
    headers = headers_at(0)
    del headers["webhook-signature"]
    return headers


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[str]:
    """Run the page's receiver; return its address."""
    port = free_port()
    code = RECEIVER.replace("8000", str(port))
    assert code != RECEIVER
    environ = {**os.environ, "WEBHOOK_SECRET": secret_text(SECRET)}
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=tmp_path, env=environ, stderr=subprocess.PIPE) as process:
        try:
            address = f"http://127.0.0.1:{port}/"
            _wait_until_it_answers(address, process)
            yield address
        finally:
            process.kill()


def _wait_until_it_answers(address: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while time.monotonic() < deadline:
        assert process.poll() is None, "the receiver has ended"
        try:
            httpx.get(address)
            return
        except httpx.TransportError:
            time.sleep(0.05)
    raise TimeoutError("the receiver does not answer")


def _stored(folder: Path) -> list[tuple[str, str]]:
    with sqlite3.connect(folder / "inbox.db") as inbox:
        return inbox.execute("SELECT id, body FROM events").fetchall()


def test_the_receiver_stores_an_event_once_however_often_it_arrives(
    receiver: str, tmp_path: Path
) -> None:
    for late in (0, 0, 60):
        answer = httpx.post(receiver, content=BODY, headers=headers_at(late))
        assert answer.status_code == 204
    assert _stored(tmp_path) == [(ID, BODY.decode())]
    assert json.loads(BODY)["data"] == EVENT["data"]


WRONG: list[tuple[str, Callable[[], Headers], bytes]] = [
    ("another secret", lambda: headers_at(0, new_secret()), BODY),
    ("another body", lambda: headers_at(0), BODY.replace(b"100.00", b"900.00")),
    ("another id", lambda: {**headers_at(0), "webhook-id": "evt_2"}, BODY),
    ("another time", lambda: {**headers_at(0), "webhook-timestamp": "1"}, BODY),
    ("replayed later", lambda: headers_at(-301), BODY),
    ("from the future", lambda: headers_at(302), BODY),
    ("no signature", without_signature, BODY),
    ("no headers", dict, BODY),
    ("another version", lambda: {**headers_at(0), "webhook-signature": "v2,AAAA"}, BODY),
    ("no text", lambda: {**headers_at(0), "webhook-signature": "v1,\x7f"}, BODY),
]
IDS = [name for name, _, _ in WRONG]


def test_the_receiver_refuses_what_is_not_signed(receiver: str, tmp_path: Path) -> None:
    for name, headers, body in WRONG:
        answer = httpx.post(receiver, content=body, headers=headers())
        assert answer.status_code == 401, name
    assert _stored(tmp_path) == []
    accepted = httpx.post(receiver, content=BODY, headers=headers_at(0))
    assert accepted.status_code == 204, "it still serves"


def test_the_receiver_takes_either_of_two_live_secrets(receiver: str) -> None:
    for secrets in ((new_secret(), SECRET), (SECRET, new_secret())):
        headers = headers_at(0, *secrets)
        assert httpx.post(receiver, content=BODY, headers=headers).status_code == 204


@pytest.fixture
def verified() -> Callable[[Headers, bytes, str], bool]:
    """The page's function that verifies by hand."""
    namespace: dict[str, Callable[[Headers, bytes, str], bool]] = {}
    exec(compile(BY_HAND, str(PAGE), "exec"), namespace)
    return namespace["verified"]


def test_verifying_by_hand_takes_each_live_secret(
    verified: Callable[[Headers, bytes, str], bool],
) -> None:
    text = secret_text(SECRET)
    assert verified(headers_at(0), BODY, text)
    assert verified(headers_at(0, new_secret(), SECRET), BODY, text)
    assert base64.b64decode(text.removeprefix("whsec_")) == SECRET


@pytest.mark.parametrize(("headers", "body"), [case[1:] for case in WRONG], ids=IDS)
def test_verifying_by_hand_refuses_the_rest(
    verified: Callable[[Headers, bytes, str], bool], headers: Callable[[], Headers], body: bytes
) -> None:
    try:
        accepted = verified(headers(), body, secret_text(SECRET))
    except KeyError:
        accepted = False  # A header is missing.
    assert not accepted
