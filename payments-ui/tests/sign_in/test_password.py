"""The command that makes the hash of the user's password: from a pipe and on a terminal."""

import subprocess
import sys
from collections.abc import Callable

import pytest
from argon2 import PasswordHasher
from quart import Quart

from testkit.sign_in.page_browser import PASSWORD, Browser, app_with
from testkit.terminal import answer_on_a_terminal

HASH_PASSWORD = (sys.executable, "-m", "payments_ui", "hash-password")


def hash_of(typed: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(HASH_PASSWORD, input=typed, capture_output=True, text=True, check=False)


async def test_the_command_creates_a_hash_for_the_setting(
    browser_of: Callable[[Quart], Browser],
) -> None:
    made = hash_of(f"{PASSWORD}\n")
    assert made.returncode == 0
    assert PASSWORD not in made.stdout
    app = app_with(sign_in="password", password_hash=made.stdout.strip(), password_user="ada")
    assert (await browser_of(app).sign_in()).status_code == 303
    assert hash_of("short\n").returncode == 1


def test_bytes_that_are_no_text_make_no_password() -> None:
    made = subprocess.run(HASH_PASSWORD, input=b"\xff" * 20, capture_output=True, check=False)
    why = b"A password must be a text in UTF-8.\n"
    assert (made.returncode, made.stdout, made.stderr) == (1, b"", why)


async def test_a_terminal_asks_until_both_passwords_are_equal() -> None:
    right = f"{PASSWORD}\n"
    status, shown = await answer_on_a_terminal(
        HASH_PASSWORD,
        ("Password: ", right),
        ("Again: ", "another\n"),
        ("Password: ", right),
        ("Again: ", right),
    )
    assert status == 0
    assert PasswordHasher().verify(shown.strip(), PASSWORD)


@pytest.mark.parametrize("key", ["\x03", "\x04"], ids=["Ctrl-C", "Ctrl-D"])
async def test_a_question_that_is_not_answered_interrupts_the_command(key: str) -> None:
    status, shown = await answer_on_a_terminal(HASH_PASSWORD, ("Password: ", key))
    assert (status, shown.split()[-1]) == (130, "interrupted")
