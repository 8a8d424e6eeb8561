"""The documents name every peer that is faster than ours."""

import json
from pathlib import Path

import pytest
from benchmarks import results
from benchmarks.ahead import ahead, ahead_in


def rates(**per_second: float) -> dict[str, object]:
    """Return contenders with one median each."""
    return {name: {"per_second": {"median": rate}} for name, rate in per_second.items()}


WORKERS = rates(
    **{
        "ours, 1 worker": 8_000,
        "ours, 2 workers": 14_000,
        "bare SQL, 2 connections": 24_000,
        "graphile-worker, 1 worker, no-op": 32_000,
        "PgQueuer, 2 workers, no-op": 13_000,
    }
)


def test_a_faster_peer_is_named_with_the_ratio() -> None:
    assert ahead_in("worker", WORKERS) == [
        "graphile-worker, 1 worker, no-op (4.0 times ours, 1 worker)"
    ]


def test_a_lower_latency_is_ahead() -> None:
    found = ahead_in(
        "latency",
        {"ours, stored to started": {"p50": 3.0}, "PgQueuer, enqueue to start": {"p50": 2.0}},
    )
    assert found == ["PgQueuer, enqueue to start (1.5 times ours, stored to started)"]


def test_the_sentence_names_unmeasured_peers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    (tmp_path / "worker.json").write_text(json.dumps({"figures": {"contenders": WORKERS}}))
    sentence, no_op, missing = ahead()
    assert "graphile-worker" in sentence
    assert "does nothing" in no_op
    assert missing == "Peers not measured yet: create, latency."
