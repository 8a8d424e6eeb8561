"""The tutorial on a bank statement: its commands, word for word, print what it shows."""

import re
import subprocess
from pathlib import Path

from testkit.browser.whole_system import whole_system

TUTORIAL = Path(__file__).parents[1] / "docs/tutorials/reconcile-a-bank-statement.md"
BLOCK = re.compile(r"^```(bash|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECONDS_MAX = 120


def test_the_commands_print_what_the_tutorial_shows(tmp_path: Path) -> None:
    blocks = BLOCK.findall(TUTORIAL.read_text())
    script = "\n".join(text for kind, text in blocks if kind == "bash")
    shown = [line for kind, text in blocks if kind == "text" for line in text.splitlines()]
    assert len(shown) == 17
    with whole_system(tmp_path) as system:
        script = script.replace("http://localhost:3001", system.api_url)
        script = script.replace("/tmp/", f"{tmp_path}/")
        ended = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            check=False,
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
        )
    assert ended.returncode == 0, ended.stderr
    printed = ended.stdout.splitlines()
    assert [line for line in shown if line not in printed] == [], ended.stdout
