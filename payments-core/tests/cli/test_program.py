"""The frame of a command line: how a command ends that its code did not end."""

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
