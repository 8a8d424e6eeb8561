"""The API is slow, down or restarting: the page says so, keeps the input, and recovers."""

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from payments_ui.app import NEWEST_FRESH_SECONDS
from testkit.browser.actions import pay_elsewhere
from testkit.browser.chromium import Visitor
from testkit.browser.whole_system import WholeSystem


@pytest.fixture(autouse=True)
def everything_runs_again(system: WholeSystem) -> Iterator[None]:
    """Restart all that a test has broken."""
    yield
    system.proxy.mend()
    for service in system.services:
        if service.process is None:
            service.start()


def test_the_api_stops_and_comes_back_and_the_page_catches_up(
    visitor: Visitor, system: WholeSystem
) -> None:
    page = visitor.open_live()
    html = page.locator("html")
    visitor.fill("acct_outage", "11.00", "Typed before the outage")
    system.api.stop()
    expect(html).to_have_attribute("data-connection", "behind")
    expect(page.locator("#behind")).to_contain_text("The payments service is not answering")
    visitor.pay_button.click()
    expect(page.locator("#pay-panel > .notice")).to_contain_text("Your input is kept")
    expect(page.locator("#description")).to_have_value("Typed before the outage")
    system.api.start()
    expect(html).to_have_attribute("data-connection", "live")
    expect(page.locator("#behind")).to_be_hidden()
    visitor.pay_button.click()
    expect(page.locator(".receipt-title")).to_have_text("Payment accepted")
    missed = pay_elsewhere(system, "acct_outage", "12.00")
    expect(visitor.row(missed).locator(".badge")).to_have_text("Completed")


def test_what_happened_during_a_lost_stream_is_caught_up_with(
    visitor: Visitor, system: WholeSystem
) -> None:
    page = visitor.open_live()
    system.proxy.cut()
    expect(page.locator("html")).to_have_attribute("data-connection", "behind")
    missed = pay_elsewhere(system, "acct_missed", "13.00")
    expect(visitor.row(missed)).to_have_count(0)
    system.proxy.mend()
    expect(page.locator("html")).to_have_attribute("data-connection", "live")
    expect(visitor.row(missed).locator(".badge")).to_have_text("Completed")


def test_a_page_opened_during_an_outage_fills_itself_later(
    visitor: Visitor, system: WholeSystem
) -> None:
    known = pay_elsewhere(system, "acct_cold", "1.00")
    system.proxy.cut()
    time.sleep(NEWEST_FRESH_SECONDS)  # What another page has just been told is shared so long.
    page = visitor.open()
    expect(page.locator("#list .empty-title")).to_contain_text("The payments service")
    visitor.fill("acct_cold", "2.00", "Typed meanwhile")
    system.proxy.mend()
    expect(visitor.row(known)).to_be_visible()
    expect(page.locator("#description")).to_have_value("Typed meanwhile")


def test_a_payments_page_in_an_outage_comes_by_itself(
    visitor: Visitor, system: WholeSystem
) -> None:
    known = pay_elsewhere(system, "acct_cold", "3.00")
    system.proxy.cut()
    page = visitor.open(f"/payments/{known}")
    expect(page.locator("h1")).to_have_text("The payments service is not answering")
    system.proxy.mend()
    expect(page.locator(".hero-amount")).to_have_text("3.00 USD")


def test_a_slow_api_is_waited_for_only_so_long(visitor: Visitor, system: WholeSystem) -> None:
    page = visitor.open_live()
    visitor.fill("acct_slow", "14.00")
    system.proxy.delay_answers(3)  # The page waits two seconds.
    visitor.pay_button.click()
    expect(page.locator("#pay .when-busy")).to_be_visible()
    expect(page.locator("#pay-panel > .notice")).to_contain_text("did not answer in time")
    system.proxy.mend()
    visitor.pay_button.click()
    expect(page.locator(".receipt-title")).to_contain_text("You paid once")


def test_the_pages_own_server_restarts_and_the_page_reconnects(
    visitor: Visitor, system: WholeSystem
) -> None:
    page = visitor.open_live()
    visitor.fill("acct_restart", "15.00", "Typed before the restart")
    system.ui.stop()
    expect(page.locator("html")).to_have_attribute("data-connection", "reconnecting")
    missed = pay_elsewhere(system, "acct_restart", "16.00")
    system.ui.start()
    expect(page.locator("html")).to_have_attribute("data-connection", "live")
    expect(visitor.row(missed)).to_be_visible()
    # A new process has a new random key: the form it did not draw is drawn again, as typed.
    visitor.pay_button.click()
    expect(page.locator("#pay-panel > .notice")).to_contain_text("This form has expired")
    expect(page.locator("#description")).to_have_value("Typed before the restart")
    visitor.pay_button.click()
    expect(page.locator(".receipt-title")).to_have_text("Payment accepted")
