"""The frame of a command line: how a command ends that its code did not end."""

import os
import subprocess
import sys

import pytest

from payments_core.cli.program import Program


def test_an_unexpected_error_is_no_verdict_and_shows_its_cause(
    capsys: pytest.CaptureFixture[str],
) -> None:
    program = Program("payments-core", settings="payments_core.config:DatabaseSettings")

    @program.command("read", example="", statuses="")
    def read() -> int:
        raise EOFError("marshal data too short")

    with pytest.raises(SystemExit) as end:
        program.main(["read"])
    assert end.value.code == 2
    printed = capsys.readouterr().err
    assert "EOFError: marshal data too short" in printed
    assert "RuntimeError: data ended too soon" in printed


SAY_IT = """
from payments_core.cli.program import Program
program = Program("payments-core")
program.command("say", example="", statuses="")(lambda: print("\\N{CHECK MARK} done"))
program.main(["say"])
"""


def test_a_character_that_the_terminal_lacks_is_escaped() -> None:
    said = subprocess.run(
        [sys.executable, "-c", SAY_IT],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert (said.returncode, said.stdout, said.stderr) == (0, b"\\u2713 done\n", b"")
