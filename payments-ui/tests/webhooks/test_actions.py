"""Actions on webhooks: confirmed, sent once, refused beside their field, for operators alone."""

from typing import Any

import pytest

from payments_ui.webhooks.forms import ActForm
from payments_ui.webhooks.view import ACTS

from .conftest import ID, NOW, WEBHOOK, Api, page_of, text_of


@pytest.mark.parametrize(
    ("act", "sent"),
    [
        ("test", ("POST", f"/webhooks/{ID}/test", {})),
        ("disable", ("PATCH", f"/webhooks/{ID}", {"enabled": False})),
        ("enable", ("PATCH", f"/webhooks/{ID}", {"enabled": True})),
        ("delete", ("DELETE", f"/webhooks/{ID}", None)),
        ("resend", ("POST", f"/webhooks/{ID}/resend", {"since": "2026-11-22T20:00:00Z"})),
    ],
)
async def test_each_act_is_confirmed_and_sent_once(act: str, sent: tuple[Any, ...]) -> None:
    api = Api()
    browser, path = page_of(api), f"/webhooks/{ID}/{act}"
    assert "<form" in await text_of(browser, path)
    assert api.sent == [], "asking changes nothing"
    response = await browser.send(path, path, since="2026-11-22T20:00")
    assert response.status_code == 303
    assert response.headers["Location"] == ("/webhooks" if act == "delete" else f"/webhooks/{ID}")
    assert [each[:3] for each in api.sent] == [sent]


async def test_every_act_of_the_page_has_its_question() -> None:
    for act in ACTS.values():
        assert act.question.endswith("?")


async def test_the_apis_refusal_stands_beside_the_field_with_the_input_kept() -> None:
    api = Api(status=422)
    response = await page_of(api).send(
        "/webhooks/new", "/webhooks/new", url="https://a.example.com:8443/", description="Mine"
    )
    page = await response.get_data(as_text=True)
    assert response.status_code == 422
    assert "The URL must use port 443." in page
    assert 'value="https://a.example.com:8443/"' in page
    assert 'value="Mine"' in page


@pytest.mark.parametrize("path", ["/webhooks/new", f"/webhooks/{ID}/edit"])
async def test_the_form_names_every_url_that_an_api_accepts(path: str) -> None:
    """The page cannot know whether its API requires keys: one that does not ignores the page's."""
    page = " ".join((await text_of(page_of(Api()), path)).split())
    assert "https, on port 443, to a host on the internet." in page
    assert "An API without authentication also accepts http to its own machine" in page


async def test_an_unanswered_creation_does_not_claim_that_nothing_happened() -> None:
    response = await page_of(Api(status=503)).send(
        "/webhooks/new", "/webhooks/new", url="https://a.example.com"
    )
    assert response.status_code == 503
    assert "outcome is unknown" in await response.get_data(as_text=True)


@pytest.mark.parametrize(
    "path", ["/webhooks/new", f"/webhooks/{ID}/edit", f"/webhooks/{ID}/delete"]
)
async def test_an_expired_form_changes_nothing_and_keeps_its_input(path: str) -> None:
    api = Api()
    response = await page_of(api).client.post(
        path, form={"csrf": "wrong", "url": "https://typed.example.com"}
    )
    assert response.status_code == 403
    assert "This form has expired." in await response.get_data(as_text=True)
    assert api.sent == []


@pytest.mark.parametrize("hours", ["", "-1", "169", "1.5", "x", "\u0661", "9999"])
def test_wrong_hours_are_refused(hours: str) -> None:
    assert "graceHours" in ActForm.read({"hours": hours}, "rotate").errors


def test_a_time_is_needed_to_resend() -> None:
    assert "since" in ActForm.read({"since": "soon"}, "resend").errors
    proposed = ActForm.of({**WEBHOOK, "failingSince": NOW})  # type: ignore[typeddict-item]
    assert proposed.since == "2026-11-22T20:00"
