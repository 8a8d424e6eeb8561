"""Stripped libraries are smaller and still load."""

import shutil
import subprocess
import sys
from pathlib import Path

import uvloop
from strip_libraries import main, stripped

LIBRARY = next(Path(uvloop.__file__).parent.glob("loop.*.so"))


def test_a_stripped_library_still_loads_and_works(tmp_path: Path) -> None:
    package = tmp_path / "uvloop"
    shutil.copytree(Path(uvloop.__file__).parent, package)
    main(package)
    assert (package / LIBRARY.name).stat().st_size < LIBRARY.stat().st_size / 2
    program = "import uvloop, asyncio; print(uvloop.__file__, uvloop.run(asyncio.sleep(0, 'ran')))"
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == [str(package / "__init__.py"), "ran"]


def test_stripping_twice_is_idempotent() -> None:
    once = stripped(LIBRARY.read_bytes())
    assert stripped(once) == once


def test_other_files_are_unchanged() -> None:
    assert stripped(b"/* a linker script */") == b"/* a linker script */"
