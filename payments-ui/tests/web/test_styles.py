"""Templates and style sheets agree."""

import re
from pathlib import Path

import payments_ui

PACKAGE = Path(payments_ui.__file__).parent
EXPRESSION = re.compile(r"{%.*?%}|{{.*?}}", re.DOTALL)


def test_every_class_of_a_template_has_a_style_or_a_script() -> None:
    files = [*PACKAGE.glob("static/*.css"), *PACKAGE.glob("static/*.js")]
    used = "".join(path.read_text() for path in files)
    known = set(re.findall(r"\.([a-z][a-z0-9-]+)", used))
    without = set()
    for path in PACKAGE.glob("templates/*.html"):
        for names in re.findall(r'class="([^"]*)"', path.read_text()):
            # "badge-{{ status }}" begins a name that only the page knows.
            plain = EXPRESSION.sub("\0", names).split()
            unknown = {name for name in plain if "\0" not in name} - known
            without |= {f"{path.name}: {name}" for name in unknown}
    assert without == set()
