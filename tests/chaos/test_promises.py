"""The clients' log: on disk before an answer counts, and read back unchanged."""

from pathlib import Path

import pytest

from testkit.chaos.promises import PromiseLog, read_promises

ORDER = {"accountId": "acc_1", "amount": "1.00", "currency": "USD"}


async def test_logged_entries_are_on_disk_while_the_log_is_open(
    tmp_path: Path,
) -> None:
    path = tmp_path / "promises.jsonl"
    log = PromiseLog(path)
    await log.sending({"a": ORDER, "b": ORDER, "c": ORDER})
    await log.accepted({"a": '{"id": "1"}'})
    await log.refused({"b": "validation_failed"})
    read = read_promises(path)
    await log.close()
    assert read == log.known
    assert (read.answers, read.refused) == ({"a": '{"id": "1"}'}, {"b": "validation_failed"})
    assert read.open_keys == {"c"}


@pytest.mark.parametrize(
    "second", ['{"refused": "a", "code": "x"}', '{"accepted": "a", "answer": ""}']
)
def test_a_key_with_two_outcomes_is_rejected(tmp_path: Path, second: str) -> None:
    path = tmp_path / "promises.jsonl"
    path.write_text('{"accepted": "a", "answer": "1"}\n' + second + "\n")
    with pytest.raises(ValueError, match="a has two outcomes"):
        read_promises(path)
