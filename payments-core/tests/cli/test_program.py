"""The frame of a command line: how a command ends that its code did not end."""

import os
import subprocess
import sys
from pathlib import Path

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


SAY_MUCH = """
import os, sys
from payments_core.cli.program import Program
os.set_blocking(1, False)
program = Program("payments-core")
program.command("say", example="", statuses="")(lambda: sys.stdout.buffer.write(b"x" * 1_000_000))
program.main(["say"])
"""


@pytest.mark.parametrize("buffering", ["", "1"])
def test_a_full_pipe_that_does_not_block_loses_nothing(buffering: str) -> None:
    said = subprocess.run(
        [sys.executable, "-c", SAY_MUCH],
        env={**os.environ, "PYTHONUNBUFFERED": buffering},
        capture_output=True,
        check=False,
    )
    assert (len(said.stdout), said.stderr) == (1_000_000, b"")


SMALL_FILES = 'ulimit -f 8; trap "" XFSZ'


@pytest.mark.parametrize("buffering", ["", "1"])
def test_a_disk_that_takes_a_part_of_the_output_is_full(tmp_path: Path, buffering: str) -> None:
    with (tmp_path / "out").open("wb") as file:
        said = subprocess.run(
            [
                "sh",
                "-c",
                f'{SMALL_FILES}; exec "$@"',
                "sh",
                sys.executable,
                "-c",
                SAY_MUCH,
            ],
            # Python 3.11 does not notice that bytecode is cut short, and others would read it.
            env={**os.environ, "PYTHONUNBUFFERED": buffering, "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=file,
            stderr=subprocess.PIPE,
            check=False,
        )
    words = b"the output cannot be written: File too large\n"
    assert (said.returncode, said.stderr) == (2, words)
