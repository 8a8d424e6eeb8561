"""The frame of a command line: how a command ends that its code did not end."""

import pytest

from payments_core.cli.program import Program


def test_data_that_ends_too_soon_is_not_reported_as_an_interruption() -> None:
    program = Program("payments-core", settings="payments_core.config:DatabaseSettings")

    @program.command("read", example="", statuses="")
    def read() -> int:
        raise EOFError("marshal data too short")

    with pytest.raises(RuntimeError) as failure:
        program.main(["read"])
    assert str(failure.value.__cause__) == "marshal data too short"
