"""A mutation: a fault to put into the code, and the test whose promise it breaks."""

import ast
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Mutation:
    """Replace `old` by `new` in `file`, and `test` (a file and a function) must fail.

    `accepted` says why no test can fail; such a mutation is allowed to survive.
    """

    name: str
    file: str
    old: str
    new: str
    test: str
    accepted: str = ""

    @property
    def test_file(self) -> str:
        """The file of the test."""
        return self.test.partition("::")[0]

    def problem(self, root: Path) -> str | None:
        """Return why the mutation no longer fits the tree at `root`; None if it fits."""
        path, test_path = root / self.file, root / self.test_file
        if not path.is_file():
            return f"there is no {self.file}"
        found = path.read_text().count(self.old)
        if found != 1:
            return f"its old text occurs {found} times in {self.file}, instead of once"
        if path.suffix == ".py":
            try:
                ast.parse(self.mutated(root))
            except SyntaxError as error:
                return f"the mutated {self.file} is no Python: {error}"
        function = self.test.rpartition("::")[2]
        if not test_path.is_file() or f"def {function}(" not in test_path.read_text():
            return f"there is no test {self.test}"
        return None

    def mutated(self, root: Path) -> str:
        """Return the file's text with the fault in it."""
        return (root / self.file).read_text().replace(self.old, self.new)


def of(file: str, test_file: str) -> Callable[..., Mutation]:
    """Return a constructor of mutations of one file, each noticed by a function of the tests.

    A function of another test file in the same folder is written `test_file.py::test_function`.
    """
    folder = test_file.rpartition("/")[0]

    def mutation(name: str, old: str, new: str, test: str, accepted: str = "") -> Mutation:
        path = f"{folder}/{test}" if "::" in test else f"{test_file}::{test}"
        return Mutation(name, file, old, new, path, accepted)

    return mutation
