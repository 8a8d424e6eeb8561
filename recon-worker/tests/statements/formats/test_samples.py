"""Real files of banks, where they lie beside the project: read, or refused with a position."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from recon_worker.statements.formats.model import MalformedStatement, StatementEnd
from testkit.statements import SAMPLES, ends_of, lines_of, read

pytestmark = pytest.mark.skipif(
    not SAMPLES.is_dir(), reason="the samples of statements are not beside the project"
)
FILES = sorted(path for path in SAMPLES.glob("*/*") if path.suffix in (".xml", ".sta"))


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_sample_is_read_or_refused_with_a_position(path: Path) -> None:
    profile = {"encoding": "iso-8859-2"} if "raiffeisen" in path.name else None
    refusal: MalformedStatement | None = None
    ends: Sequence[StatementEnd] = ()
    try:
        ends = ends_of(read(path.read_bytes(), "mt940" if path.suffix == ".sta" else None, profile))
    except MalformedStatement as error:
        refusal = error
    assert ends or (refusal and refusal.position and refusal.problem)


def test_all_26_statements_of_a_file_with_reversals_close() -> None:
    ends = ends_of(read(sample("mt940/betterplace_sepa_mt9401.sta")))
    assert [end.problem for end in ends] == [None] * 26


def test_a_swiss_statement_with_batches_closes_unflipped() -> None:
    events = read(sample("camt053/viafintech_v4_66kB.xml"))
    (end,) = ends_of(events)
    assert (end.problem, end.reversals_flipped, end.entry_count) == (None, False, 13)
    parts = [line.amount for line in lines_of(events) if line.line_no == 7]
    assert (len(parts), sum(parts)) == (10, Decimal("1000.00"))


def test_the_days_of_a_series_chain() -> None:
    days = [ends_of(read(sample(f"camt053/subite_2024-03-0{day}.xml"))) for day in (7, 8)]
    assert [end.problem for ends in days for end in ends] == [None] * 4
    assert [end.closing for end in days[0]] == [end.opening for end in days[1]]


REFUSED: Mapping[str, str] = {
    "camt053/bsp_garbled-amount.xml": "'12..34' is not an amount",
    "camt053/genkgo_v2_wrong.xml": "no statement",
    "mt940/selfprovided_multiline.sta": "outside a statement",
    "mt940/selfprovided_raiffeisen-cmi.sta": "is not utf-8",
}


@pytest.mark.parametrize(("name", "says"), REFUSED.items(), ids=REFUSED)
def test_refused_samples(name: str, says: str) -> None:
    with pytest.raises(MalformedStatement, match=says):
        read(sample(name))
