"""The command that makes the hash of the user's password: from a pipe and on a terminal."""

import asyncio
import subprocess
import sys
from collections.abc import Callable

import pytest
from argon2 import PasswordHasher
from quart import Quart

from testkit.sign_in.page_browser import PASSWORD, Browser, app_with

HASH_PASSWORD = (sys.executable, "-m", "payments_ui", "hash-password")
ON_A_TERMINAL = (
    *(sys.executable, "-c"),
    "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))",
)


def hash_of(typed: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(HASH_PASSWORD, input=typed, capture_output=True, text=True, check=False)


async def typed_on_a_terminal(*answers: tuple[str, str]) -> tuple[int | None, str]:
    """Type each answer after its question; return the exit status and what is shown then."""
    process = await asyncio.create_subprocess_exec(
        *(*ON_A_TERMINAL, *HASH_PASSWORD),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin
    assert process.stdout
    for question, answer in answers:
        await process.stdout.readuntil(question.encode())
        process.stdin.write(answer.encode())
    shown = await process.stdout.read()
    process.stdin.close()
    return await process.wait(), shown.decode()


async def test_the_command_creates_a_hash_for_the_setting(
    browser_of: Callable[[Quart], Browser],
) -> None:
    made = hash_of(f"{PASSWORD}\n")
    assert made.returncode == 0
    assert PASSWORD not in made.stdout
    app = app_with(sign_in="password", password_hash=made.stdout.strip(), password_user="ada")
    assert (await browser_of(app).sign_in()).status_code == 303
    assert hash_of("short\n").returncode == 1


async def test_a_terminal_asks_until_both_passwords_are_equal() -> None:
    right = f"{PASSWORD}\n"
    status, shown = await typed_on_a_terminal(
        ("Password: ", right), ("Again: ", "another\n"), ("Password: ", right), ("Again: ", right)
    )
    assert status == 0
    assert PasswordHasher().verify(shown.strip(), PASSWORD)


@pytest.mark.parametrize("key", ["\x03", "\x04"], ids=["Ctrl-C", "Ctrl-D"])
async def test_a_question_that_is_not_answered_interrupts_the_command(key: str) -> None:
    status, shown = await typed_on_a_terminal(("Password: ", key))
    assert (status, shown.split()[-1]) == (130, "interrupted")
