"""The lists of mutations fit the code; without this test only `make mutants` would show it."""

from collections import Counter
from pathlib import Path

from testkit.mutants.lists import MUTATIONS

ROOT = Path(__file__).parents[2]


def test_every_mutation_fits_the_code_and_names_a_test() -> None:
    stale = {
        mutation.name: problem for mutation in MUTATIONS if (problem := mutation.problem(ROOT))
    }
    assert stale == {}


def test_mutation_names_are_unique() -> None:
    names = Counter(mutation.name for mutation in MUTATIONS)
    assert [name for name, times in names.items() if times > 1] == []
