"""Name the peers that are faster than ours, in sentences for the report."""

from benchmarks.contest import Figures
from benchmarks.results import figures_of

# For each part: the compared figure, and the pairs. A peer whose name contains the text on the left
# is compared with our contender on the right; the first match counts.
PAIRS = {
    "worker": (
        "jobs a second",
        (("1 worker", "ours, 1 worker"), ("2 workers", "ours, 2 workers")),
    ),
    "create": (
        "payments created a second",
        (("1 process", "payments-api, 1 process"), ("2", "payments-api, 2 processes")),
    ),
    "latency": (
        "milliseconds from stored to started, p50",
        (("enqueue to start", "ours, stored to started"),),
    ),
}
NOT_PEERS = ("ours", "payments-api", "bare")


def ahead() -> list[str]:
    """Return a sentence for each part in whose last figures a peer is ahead."""
    found, missing = [], []
    for part in PAIRS:
        try:
            contenders = figures_of(part)["contenders"]
        except FileNotFoundError:
            contenders = {}
        better = ahead_in(part, contenders)
        if better:
            found.append(f"Where a peer is ahead, in {PAIRS[part][0]}: {'; '.join(better)}.")
        if all(name.startswith(NOT_PEERS) for name in contenders):
            missing.append(part)
    if any("no-op" in sentence for sentence in found):
        found.append("A no-op job does nothing; ours settles a payment and posts it to the ledger.")
    if not found and len(missing) < len(PAIRS):
        found.append("None of the peers measured is ahead.")
    if missing:
        found.append(f"Peers not measured yet: {', '.join(missing)}.")
    return found


def ahead_in(part: str, contenders: Figures) -> list[str]:
    """Return each peer that is faster than its counterpart, and the factor."""
    _, pairs = PAIRS[part]
    better = []
    for name, measured in contenders.items():
        ours = next((o for text, o in pairs if text in name and o in contenders), None)
        if ours and not name.startswith(NOT_PEERS):
            times = _times_better(measured, contenders[ours])
            if times > 1:
                better.append(f"{name} ({times:.1f} times {ours})")
    return better


def _times_better(peer: Figures, ours: Figures) -> float:
    if "p50" in peer:
        return float(ours["p50"] / peer["p50"])
    return float(peer["per_second"]["median"] / ours["per_second"]["median"])
