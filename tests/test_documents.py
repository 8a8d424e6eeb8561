"""Documents: links have targets, decisions are numbered and listed, READMEs list the rooms."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
STATUS = re.compile(r"^\*(Accepted|Superseded by \[\d{4}\]\(\d{4}-.+\.md\)), \d{4}-\d{2}-\d{2}\b")
ROOMS = re.compile(r"`(\w+)/`")
PACKAGES = {
    "payments-core": "payments_core",
    "payments-api": "payments_api",
    "recon-worker": "recon_worker",
    "payments-ui": "payments_ui",
    "tests/testkit": "testkit",
}
BLOCK = re.compile(r"```(?:ba)?sh\n(.*?)```", re.DOTALL)
# A command, to the end of its last line.
CURL = re.compile(r"curl (?:[^\n]*\\\n)*[^\n]*")
DECISIONS = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))


def markdown_files() -> list[str]:
    """Return the path of every committed Markdown file, relative to the root."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [path for path in listing.stdout.split() if (ROOT / path).exists()]


def anchors(markdown: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub generates them."""
    return {
        re.sub(r"[^\w\- ]", "", re.sub(r"\[(.*?)\]\(.*?\)", r"\1", heading).lower()).replace(
            " ", "-"
        )
        for heading in HEADING.findall(markdown)
    }


@pytest.mark.parametrize("path", markdown_files())
def test_every_relative_link_has_an_existing_file_and_heading(path: str) -> None:
    page = ROOT / path
    broken = []
    for link in LINK.findall(page.read_text()):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name) if name else page
        if not target.exists() or (
            anchor and target.suffix == ".md" and anchor not in anchors(target.read_text())
        ):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: str(page.name)[:4])
def test_a_decision_has_a_status_a_date_and_a_line_in_the_index(page: Path) -> None:
    lines = page.read_text().splitlines()
    assert STATUS.match(lines[2])
    row = f"| {page.name[:4]} | [{lines[0][2:]}]({page.name}) | {lines[2].strip('*.')} |"
    assert row in (page.parent / "README.md").read_text()


def test_decisions_are_numbered_without_gaps() -> None:
    assert [int(page.name[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))


@pytest.mark.parametrize("package", PACKAGES)
def test_a_packages_readme_lists_each_of_its_rooms(package: str) -> None:
    rooms = (ROOT / package / "src" / PACKAGES[package]).iterdir()
    readme = (ROOT / package / "README.md").read_text().splitlines()
    named = " ".join(line.split("|")[1] for line in readme if line.startswith("| `"))
    assert sorted(ROOMS.findall(named)) == sorted(
        room.name for room in rooms if room.is_dir() and room.name != "__pycache__"
    )


@pytest.mark.parametrize("path", markdown_files())
def test_a_pasted_post_has_the_content_type_that_the_api_requires(path: str) -> None:
    commands = CURL.findall("".join(BLOCK.findall((ROOT / path).read_text())))
    posts = [each for each in commands if re.search(r"-X POST|-d |--data ", each)]
    ours = [each for each in posts if ":3001/" in each and "/statements?" not in each]
    assert [each for each in ours if "Content-Type: application/json" not in each] == []
