"""The choice of a peer's best settings, and their use in later runs."""

import json
from pathlib import Path

import pytest
from benchmarks import results
from benchmarks.contest import Contest
from benchmarks.parts.create import SERVERS
from benchmarks.parts.tune import TRIALS, winner
from benchmarks.queues import PEERS, best_settings, said


def test_every_peer_and_kind_is_tried_with_its_own_settings() -> None:
    queues = {(peer.program, peer.kind) for peer in PEERS}
    servers = {(s.program, "create") for s in SERVERS if s.program not in (None, "do_nothing")}
    assert {(trial.program, trial.kind) for trial in TRIALS} == queues | servers
    for trial in TRIALS:
        names = [peer.name for peer in trial.contestants()]
        assert len(set(names)) == len(trial.values) > 1


def test_one_lucky_run_does_not_win() -> None:
    lucky, steady, slow = list(TRIALS[0].contestants())[:3]
    contest = Contest("jobs/s")
    contest.samples = {
        lucky.name: [{"per_second": 900.0}],
        steady.name: [{"per_second": rate} for rate in (500.0, 510.0, 490.0)],
        slow.name: [{"per_second": rate} for rate in (400.0, 900.0, 300.0)],
    }
    assert winner(contest, contest.samples) == steady.name


def test_the_worker_benchmark_uses_the_best_settings_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    assert best_settings("pgboss.js", "nothing") == {}
    best = {"pgboss.js nothing": {"PEER_BATCH": "500", "PEER_CONCURRENCY": "2"}}
    (tmp_path / "tune.json").write_text(json.dumps({"figures": {"best": best}}))
    assert said(best_settings("pgboss.js", "nothing")) == "batch 500, concurrency 2"
