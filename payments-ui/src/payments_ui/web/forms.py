"""Form fields: text, times and error sentences that several pages share."""

from collections.abc import Mapping

from payments_ui.web.formatting import parse_time


def text_of(form: Mapping[str, str], name: str) -> str:
    """Return a field's text without surrounding blanks; an absent field is empty.

    Neither this function nor the browser shortens it: the API rejects text that is too long.
    """
    return form.get(name, "").strip()


def as_sentence(label: str, detail: str) -> str:
    """Turn "must not be empty" into "Amount must not be empty."; full sentences stay."""
    text = detail.strip().rstrip(".")
    if not text:
        return f"{label} is not valid."
    return f"{text}." if text[0].isupper() else f"{label} {text}."


def utc_minute(text: str) -> str:
    """Return a time in the form of the page's URLs, "2026-11-22T20:00" in UTC; else ""."""
    at = parse_time(text) if text else None
    # Not strftime: its %Y writes the year 999 with three digits, which no parser accepts.
    return at.replace(tzinfo=None).isoformat(timespec="minutes") if at else ""


def api_time(text: str) -> str:
    """Return a time in the API's form, "2026-11-22T20:00:00Z"; "" for anything else."""
    at = parse_time(text) if text else None
    return at.replace(tzinfo=None).isoformat(timespec="seconds") + "Z" if at else ""
