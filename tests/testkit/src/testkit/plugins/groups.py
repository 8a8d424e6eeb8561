"""Which tests run one after the other when `pytest -n` runs several workers side by side.

A file stays in one worker, so its module's fixtures are made once. Folders that share a slow system
or own something global (a browser, the container engine, injected faults) stay together too.
"""

import os
from pathlib import PurePosixPath

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# The slowest first, because a slow group that starts late would run alone at the end.
FOLDER_GROUPS = {
    "tests/chaos": "faults",
    "tests/crash": "faults",
    "tests/browser": "browser",
    "tests/containers": "engine",
    "tests/e2e": "engine",
    "tests/observability": "observability",
}
WORKERS_MAX = 8
RANKS = {group: rank for rank, group in enumerate(dict.fromkeys(FOLDER_GROUPS.values()))}
# Files here that are in no group mostly start whole systems; the packages' own do not.
SLOW_FOLDERS = ("tests/", "deploy/")


def group_of(nodeid: str) -> str:
    """Return the group whose tests run one after the other: its folder's, or else its file."""
    file = nodeid.partition("::")[0]
    folders = (folder.as_posix() for folder in PurePosixPath(file).parents)
    return next((FOLDER_GROUPS[each] for each in folders if each in FOLDER_GROUPS), file)


def rank_of(nodeid: str) -> int:
    """Return the place of the group among all: the slowest have the lowest."""
    slow = nodeid.startswith(SLOW_FOLDERS)
    return RANKS.get(group_of(nodeid), len(RANKS) + (not slow))


class GroupScheduling(LoadScopeScheduling):
    """Hands out whole groups. Overrides the one method that xdist's LoadFileScheduling does."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> GroupScheduling:
    """Schedule by group, in the order of collection."""
    config.option.loadscopereorder = False
    return GroupScheduling(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return the workers of `-n auto`: two more than cores, since tests wait more than they work.

    The number is bounded because each has its own Postgres.
    """
    return min((os.cpu_count() or 1) + 2, WORKERS_MAX)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the slowest groups first where several workers share the run."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: rank_of(item.nodeid))
