"""Outages of the API: the page reports them, keeps the input, and recovers."""

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
    """Restart what a test has stopped."""
    yield
    system.proxy.mend()
    for service in system.services:
        if service.process is None:
            service.start()


def test_the_page_catches_up_after_the_api_restarts(visitor: Visitor, system: WholeSystem) -> None:
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


def test_changes_during_a_lost_stream_appear_after_reconnecting(
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


def test_a_page_opened_during_an_outage_fills_after_it(
    visitor: Visitor, system: WholeSystem
) -> None:
    paid = pay_elsewhere(system, "acct_cold", "1.00")
    system.proxy.cut()
    time.sleep(NEWEST_FRESH_SECONDS)  # Answers to other pages are shared for this long.
    page = visitor.open()
    expect(page.locator("#list .empty-title")).to_contain_text("The payments service")
    visitor.fill("acct_cold", "2.00", "Typed meanwhile")
    system.proxy.mend()
    expect(visitor.row(paid)).to_be_visible()
    expect(page.locator("#description")).to_have_value("Typed meanwhile")


def test_a_payment_page_opened_during_an_outage_loads_after_it(
    visitor: Visitor, system: WholeSystem
) -> None:
    paid = pay_elsewhere(system, "acct_cold", "3.00")
    system.proxy.cut()
    page = visitor.open(f"/payments/{paid}")
    expect(page.locator("h1")).to_have_text("The payments service is not answering")
    assert not visitor.axe_findings()
    system.proxy.mend()
    expect(page.locator(".hero-amount")).to_have_text("3.00 USD")


def test_the_page_gives_up_on_a_slow_api_in_time(visitor: Visitor, system: WholeSystem) -> None:
    page = visitor.open_live()
    visitor.fill("acct_slow", "14.00")
    system.proxy.delay_answers(3)  # The page's time limit is two seconds.
    visitor.pay_button.click()
    expect(page.locator("#pay .when-busy")).to_be_visible()
    expect(page.locator("#pay-panel > .notice")).to_contain_text("did not answer in time")
    system.proxy.mend()
    visitor.pay_button.click()
    expect(page.locator(".receipt-title")).to_contain_text("no second one was made")


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
    # The new process has another random key, so it shows the older form again, with its input.
    visitor.pay_button.click()
    expect(page.locator("#pay-panel > .notice")).to_contain_text("This form has expired")
    expect(page.locator("#description")).to_have_value("Typed before the restart")
    visitor.pay_button.click()
    expect(page.locator(".receipt-title")).to_have_text("Payment accepted")
