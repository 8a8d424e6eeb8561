"""The tables of statements: reading them, importing and matching them."""

from benchmarks.contest_tables import skipped
from benchmarks.results import figures_of


def statements() -> list[str]:
    """Return seconds and peak memory of reading a statement, ours and others'."""
    figures = figures_of("statements")
    lines = ["| reading a camt.053 | seconds | lowest to highest | peak memory |"]
    lines += ["| --- | --- | --- | --- |"]
    for name, measured in figures["contenders"].items():
        took, memory = measured["seconds"], measured["mebibytes"]["median"]
        spread = f"{took['low']:.2f} to {took['high']:.2f}"
        lines.append(f"| {name} | {took['median']:.2f} | {spread} | {memory:.0f} MiB |")
    return [*lines, *skipped(figures)]


def reconcile() -> list[str]:
    """Return seconds and peak memory of importing and matching, and payments beside an import."""
    figures = figures_of("reconcile")
    bounds = figures["seconds_max"]
    history, beside = figures["history"], figures["payments_beside_import"]
    lines = ["| | seconds | bound | peak memory |", "| --- | --- | --- | --- |"]
    for name, measured in figures["contenders"].items():
        for act, bound in (("import", bounds["import"]), ("match", bounds["match a day"])):
            seconds, memory = (measured[f"{act}_{of}"]["median"] for of in ("seconds", "mebibytes"))
            lines.append(f"| {act} {name} | {seconds:.1f} | {bound} | {memory:.0f} MiB |")
    of = f"{history['lines']:,} lines with {history['entries']:,} entries"
    lines.append(
        f"| match {of} | {history['seconds']:.0f} | {bounds['match a history']}"
        f" | {history['mebibytes']:.0f} MiB |"
    )
    return [
        *lines,
        "",
        f"A day has {figures['lines']:,} lines. Every unique reference is matched, and none of"
        f" {figures['traps']:,} lines without one that have the amount of an open entry. While the"
        f" worker imports the file, payments are created at {beside['ratio']:.2f} of their rate.",
    ]
