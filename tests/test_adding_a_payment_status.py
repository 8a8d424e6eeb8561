"""The tutorial on adding a payment status: its patch applies to this tree, and works."""

import re
import sys
from pathlib import Path

import pytest

from testkit.checked_command import output_of
from testkit.working_copy import ROOT, copy_tree, environment_of

TUTORIALS = ROOT / "docs" / "tutorials"
PATCH = TUTORIALS / "adding-a-payment-status.patch"
TEXT = (TUTORIALS / "adding-a-payment-status.md").read_text()
COUNTS = re.compile(r"touches (\d+) files, (\d+) of them new, and (\d+) files are generated")
GENERATED = {Path("docs/openapi.json"), Path("payments-ui/src/payments_ui/api/types.py")}
# The scenario, and the tests of every part that the patch changes.
AFFECTED = (
    "tests/e2e/test_on_hold.py",
    "tests/k8s/test_revisions.py",
    "payments-api/tests/migrations/test_migrations.py::test_tables_py_equals_the_migrated_schema",
    "payments-api/tests/migrations/test_migrations.py::test_up_down_and_up_again_is_the_same_schema",
    "payments-api/tests/migrations/test_open_statuses.py",
    "payments-api/tests/openapi",
    "recon-worker/tests/reconciliation/test_open_statuses.py",
    "recon-worker/tests/reconciliation/test_reconcile.py",
    "payments-ui/tests/payments/test_view.py",
)
SECONDS_MAX = 280
(APPLY,) = re.findall(r"```bash\n(.*?)make openapi\n```", TEXT, re.DOTALL)
REFRESH = f"""
The tutorial's patch no longer fits the tree. In a clean tree, with bash:
{APPLY.replace("git apply", "git apply --3way")}
  (resolve the conflicts, and git add the files)
git diff --cached --unified=1 | sed "s/$newest/0015/g; s/$next/0016/g" >/tmp/refreshed.patch
git reset --hard && cp /tmp/refreshed.patch {PATCH.relative_to(ROOT)}
"""


def _run(tree: Path, *command: str, hint: str = "") -> str:
    # Without the ceiling, git would look for a repository above the copy. The copy's database is
    # an embedded one: containers belong to other tests.
    environment = environment_of(tree) | {
        "GIT_CEILING_DIRECTORIES": str(tree.parent),
        "DOCKER_HOST": "unix:///nonexistent",
        "REQUIRE": "",
        "E2E_IMAGES": "0",
    }
    return output_of(*command, cwd=tree, environ=environment, seconds_max=SECONDS_MAX, hint=hint)


@pytest.fixture(scope="module")
def changed_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the tree with the patch applied and the generated files written."""
    tree = tmp_path_factory.mktemp("tutorial") / "tree"
    copy_tree(tree)
    _run(tree, "bash", "-eo", "pipefail", "-c", APPLY, hint=REFRESH)
    document = _run(tree, sys.executable, "-m", "payments_api", "openapi")
    (tree / "docs" / "openapi.json").write_text(document)
    _run(tree, sys.executable, "payments-ui/generate_api_types.py")
    return tree


def test_the_tutorial_states_the_number_of_changed_files(changed_tree: Path) -> None:
    files = set(re.findall(r"^\+\+\+ b/(.+)$", PATCH.read_text(), re.MULTILINE))
    new = {name for name in files if not (ROOT / name).exists()}
    assert not files & {str(path) for path in GENERATED}
    for path in GENERATED:
        assert (changed_tree / path).read_text() != (ROOT / path).read_text()
    printed = COUNTS.search(TEXT)
    assert printed
    assert tuple(map(int, printed.groups())) == (len(files), len(new), len(GENERATED))


@pytest.mark.parametrize("excerpt", re.findall(r"```diff\n(.*?)```", TEXT, re.DOTALL))
def test_the_tutorial_shows_lines_of_its_patch(excerpt: str) -> None:
    assert f"\n{excerpt}" in PATCH.read_text()


def test_the_changed_tree_is_formatted_and_lints(changed_tree: Path) -> None:
    _run(changed_tree, sys.executable, "-m", "ruff", "format", "--check", "--no-cache")
    _run(changed_tree, sys.executable, "-m", "ruff", "check", "--no-cache")


def test_a_payment_is_held_and_settled_in_the_changed_tree(changed_tree: Path) -> None:
    _run(changed_tree, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *AFFECTED)
