"""The page in a browser: the keyboard's way through it, what a reader has selected, odd links."""

import re

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from balance_gateway.domain.balances import BalanceFigures
from balance_gateway.domain.money import Money
from tests.api.fakes import DAY, READ, GatewayHarness, account, observed, run_server
from tests.web.browser import find_axe_problems, open_page

pytestmark = pytest.mark.asyncio(loop_scope="session")

COUNT = 300
TWO_DAYS_MS = 172_800_000


async def sign_in_by_keyboard(page: Page) -> None:
    await expect(page.locator("#key")).to_be_focused()
    await page.keyboard.type(READ)
    await page.keyboard.press("Enter")
    await expect(page.locator("#status")).to_contain_text("Up to date")


async def refresh_by_keyboard(page: Page) -> None:
    await page.focus("#refresh")
    await page.keyboard.press("Enter")
    await expect(page.locator("#refresh")).to_be_enabled()


async def test_the_keyboard_reaches_every_row_and_returns_to_it(browser: Browser) -> None:
    """Each row was a stop of Tab, so that 10,000 of them lay before the end of the page."""
    harness = GatewayHarness([account(f"acct_{n:03}") for n in range(COUNT)])
    async with (
        run_server(harness.app()) as url,
        open_page(browser, f"{url}/?every=0") as page,
    ):
        await sign_in_by_keyboard(page)
        await expect(page.locator("#page-title")).to_be_focused()
        await refresh_by_keyboard(page)
        await expect(page.locator("#refresh")).to_be_focused()
        await page.get_by_role("button", name="Read", exact=True).focus()
        await page.keyboard.press("Tab")
        last = COUNT - 1
        at = [
            ("ArrowDown", 1),
            ("End", last),
            ("ArrowDown", last),
            ("ArrowUp", last - 1),
            ("Home", 0),
        ]
        for key, n in at:
            await page.keyboard.press(key)
            await expect(find_link(page, n)).to_be_focused()
            await expect(find_link(page, n)).to_be_in_viewport()
        await page.keyboard.press("PageDown")
        focused = await page.evaluate("document.activeElement.dataset.account")
        assert focused > "acct_005"
        assert await page.locator("#accounts a[tabindex='0']").count() == 1
        assert await find_axe_problems(page) == []

        await page.keyboard.press("Enter")
        await expect(page.locator("#drawer-close")).to_be_focused()
        await page.keyboard.press("Escape")
        await expect(page.locator("#drawer")).to_be_hidden()
        await expect(find_link(page, int(focused[-3:]))).to_be_focused()

        await page.goto(f"{url}/?every=0&account=acct_222")
        await expect(page.locator("#account-place")).to_have_text("Light · EUR · acct_222")
        await expect(page.locator("#status")).to_contain_text("Up to date")
        await page.keyboard.press("Escape")
        await expect(find_link(page, 222)).to_be_focused()
        await expect(find_link(page, 222)).to_be_in_viewport()


def find_link(page: Page, n: int) -> Locator:
    return page.locator(f'#accounts a[data-account="acct_{n:03}"]')


async def test_selected_text_stays_while_ages_grow_and_figures_change(browser: Browser) -> None:
    """Every ten seconds rows and cards were built again: no amount could be copied."""
    harness = GatewayHarness()
    select = "(element) => getSelection().selectAllChildren(element)"
    selected = "getSelection().toString()"
    async with (
        run_server(harness.app()) as url,
        open_page(browser, f"{url}/?every=0") as page,
    ):
        await page.clock.install()
        await page.reload()
        await sign_in_by_keyboard(page)
        row = page.locator('#accounts tr[data-key="acct_savings"]')
        places = [
            row.locator(".c-name"),
            row.locator(".c-age"),
            page.locator("#totals .card").first.locator(".hint"),
        ]
        other = page.locator('#accounts tr[data-key="acct_yen"] time')
        for place in places:
            await place.evaluate(select)
            before, age = await page.evaluate(selected), await other.inner_text()
            await page.clock.fast_forward(TWO_DAYS_MS)
            await expect(other).not_to_have_text(age)
            assert await page.evaluate(selected) == before != ""

        await row.locator("a").focus()
        await places[0].evaluate(select)
        name = await page.evaluate(selected)
        change_savings(harness, 77)
        await page.evaluate("document.getElementById('refresh').click()")
        await expect(row.locator(".c-bank")).to_have_text("0.77")
        assert await page.evaluate(selected) == name != ""
        await expect(row.locator("a")).to_be_focused()

        await row.locator("a").press("Enter")
        figures = page.locator("#account-figures")
        await expect(figures).to_contain_text("0.77 EUR")
        await figures.locator("dd.main").nth(1).evaluate(select)
        change_savings(harness, 78)
        await page.evaluate("document.getElementById('refresh').click()")
        await expect(figures).to_contain_text("0.78 EUR")
        assert await page.evaluate(selected) == "5.00 EUR"


def change_savings(harness: GatewayHarness, minor: int) -> None:
    figures = BalanceFigures(DAY, Money(minor, "EUR"), Money(500, "EUR"))
    harness.reads.balance_answers["acct_savings"] = observed(figures)


async def test_a_link_that_the_gateway_does_not_know_says_so(browser: Browser) -> None:
    """An unknown account was empty headings, and a day such as February 30 the gateway's words."""
    address = (
        "?account=acct_gone&as-of=2026-02-30&sort=-size&group=owner&connector=<b>&only=stale,x"
    )
    async with (
        run_server(GatewayHarness().app()) as url,
        open_page(browser, f"{url}/{address}") as page,
    ):
        await sign_in_by_keyboard(page)
        drawer = page.locator("#drawer")
        await expect(drawer).to_contain_text("knows no account with the id “acct_gone”")
        await expect(page).to_have_title("No such account · Balances")
        assert await drawer.locator("h3:visible").count() == 0
        assert await find_axe_problems(page) == []
        odd = page.locator("#link-hint")
        for part in ("as-of=2026-02-30", "sort=-size", "group=owner", "connector=<b>", "stale,x"):
            await expect(odd).to_contain_text(part)
        await page.click("#drawer-close")
        await expect(odd).to_be_hidden()
        await expect(page.locator("#empty")).to_have_text(
            re.compile("No account matches the filter Older figures.")
        )
        await page.click("#clear")
        await expect(page.locator("#count")).to_have_text("5 accounts")
        await expect(page.locator("#find")).to_be_focused()
