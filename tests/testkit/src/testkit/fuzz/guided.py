"""Coverage-guided fuzzing of the properties: atheris, a libFuzzer for Python.

    python -m testkit.fuzz.guided SECONDS SEED

Each property gets an equal part of the seconds, in a separate process, because libFuzzer ends its
process at a finding. Exits with status 1 after a finding, and names the file that repeats it.
"""

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

os.environ.pop("FUZZ_SECONDS", None)

MODULES = ("test_requests", "test_money_and_settings", "test_page", "test_statements")
PACKAGES = ["payments_api", "payments_core", "payments_ui", "recon_worker"]
FOUND = Path("build") / "fuzz"


def _properties(module: ModuleType) -> Iterator[tuple[str, Callable[[bytes], object]]]:
    for name, test in vars(module).items():
        if hasattr(test, "property"):
            yield name, test.property.hypothesis.fuzz_one_input


def _explore(module_name: str, name: str, seconds: int, seed: int) -> None:
    """Fuzz the property; ends the process with a status that reports a finding."""
    import atheris  # Not available for every supported Python.

    with atheris.instrument_imports(include=PACKAGES):
        module = importlib.import_module(module_name)
    corpus = FOUND / name
    corpus.mkdir(parents=True, exist_ok=True)
    flags = [f"-max_total_time={seconds}", f"-seed={seed}", "-max_len=4096", "-verbosity=0"]
    atheris.Setup(
        [name, *flags, "-print_final_stats=1", f"-artifact_prefix={FOUND}/{name}-", str(corpus)],
        dict(_properties(module))[name],
    )
    atheris.Fuzz()


def main(seconds: float, seed: int) -> int:
    """Fuzz every property; return the number of properties with a finding."""
    names = [
        (module, name)
        for module in MODULES
        for name, _ in _properties(importlib.import_module(module))
    ]
    share = max(2, round(seconds / len(names)))
    wrong = 0
    for module, name in names:
        command = [
            sys.executable,
            "-m",
            "testkit.fuzz.guided",
            "--one",
            module,
            name,
            str(share),
            str(seed),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        stats = dict(
            line.removeprefix("stat::").split(":", 1)
            for line in done.stderr.splitlines()
            if line.startswith("stat::")
        )
        runs = stats.get("number_of_executed_units", "?").strip()
        print(f"{'ok ' if done.returncode == 0 else 'BAD'} {name}: {runs} inputs", flush=True)
        if done.returncode != 0:
            wrong += 1
            print(done.stdout[-3000:] + done.stderr[-6000:])
    return wrong


if __name__ == "__main__":
    if sys.argv[1] == "--one":
        _explore(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
    sys.exit(1 if main(float(sys.argv[1]), int(sys.argv[2])) else 0)
