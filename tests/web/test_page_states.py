"""The page in a browser in its less common states: failures, waiting, long figures, nothing."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import pytest
from playwright.async_api import Browser, Page, expect

from balance_gateway.domain.accounts import Capability
from balance_gateway.domain.balances import BalanceFigures, OpeningBalance, OpeningBalanceSource
from balance_gateway.domain.errors import BudgetSpent, ProviderUnavailable
from balance_gateway.domain.money import Money
from balance_gateway.domain.writes import UnsettledWrite
from balance_gateway.web.auth import ApiKeys
from tests.api.fakes import (
    ADMIN,
    DAY,
    NOW,
    READ,
    GatewayHarness,
    account,
    api_keys,
    observed,
    run_server,
)
from tests.system.processes import run_demo, run_process
from tests.web.browser import find_axe_problems, open_page, take_picture

pytestmark = pytest.mark.asyncio(loop_scope="session")

PHONE = {"width": 390, "height": 844}
DOWN = ProviderUnavailable("It is down.", account_id="acct_savings")


@asynccontextmanager
async def open_dashboard(
    browser: Browser,
    harness: GatewayHarness,
    address: str = "/",
    *,
    key: str = READ,
    **context: Any,
) -> AsyncIterator[Page]:
    """Open the page, signed in, with its first balances."""
    async with (
        run_server(harness.app()) as url,
        open_page(browser, f"{url}{address}", **context) as page,
    ):
        await sign_in(page, key)
        yield page


async def sign_in(page: Page, key: str) -> None:
    await page.fill("#key", key)
    await page.click("#sign-in button")
    await expect(page.locator("#status")).to_contain_text("Up to date")


async def refresh(page: Page) -> None:
    await page.click("#refresh")
    await expect(page.locator("#refresh")).to_be_enabled()


async def find_axe_in_both_schemes(page: Page) -> list[str]:
    found = []
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        found += [f"{scheme} {each}" for each in await find_axe_problems(page)]
    return found


async def test_amounts_are_whole_with_their_currency_at_each_width(browser: Browser) -> None:
    """A phone showed no currency; a large amount was cut off with an ellipsis."""
    huge = 9_007_199_254_740_993_123
    harness = GatewayHarness(
        [
            account(
                "a" * 60, name="The treasury of the northern subsidiaries " * 3, currency="KWD"
            ),
            account("acct_debt", name="حساب التشغيل 🏦"),
        ]
    )
    harness.reads.balance_answers = {
        "a" * 60: observed(BalanceFigures(DAY, Money(huge, "KWD"), Money(-huge, "KWD"))),
        "acct_debt": observed(
            BalanceFigures(DAY, Money(-123_456, "EUR"), Money(-9_876_543_210_123, "EUR"))
        ),
    }
    cells = "#accounts .amount, .facts dd, #accounts .c-currency"
    cut = """(cells) => [...document.querySelectorAll(cells)]
      .filter((e) => e.clientWidth && e.scrollWidth > e.clientWidth + 1).map((e) => e.innerText)"""
    async with open_dashboard(browser, harness, "/?group=provider") as page:
        for size in ({"width": 1280, "height": 860}, {"width": 640, "height": 430}, PHONE):
            await page.set_viewport_size(size)  # type: ignore[arg-type]
            assert await page.evaluate(cut, cells) == []
            assert await page.evaluate("document.documentElement.scrollWidth") == size["width"]
            for row in await page.locator("#accounts tr[data-key]").all():
                await expect(row.locator(".c-currency")).to_be_visible()
        shown = await page.locator("#accounts .c-ledger").all_inner_texts()
        assert "-9,007,199,254,740,993.123" in shown
        assert "undefined" not in await page.inner_text("body")


async def test_a_failed_read_of_an_opening_balance_is_not_none(browser: Browser) -> None:
    """The open account said "not set", and offered to set it if none is set."""
    harness = GatewayHarness()
    harness.reads.opening_answers["acct_savings"] = DOWN
    async with open_dashboard(browser, harness, "/?account=acct_savings", key=ADMIN) as page:
        opening = page.locator("#account-opening")
        await expect(opening).to_have_text("The provider cannot be reached")
        # The gateway's own words are an operator's.
        own_words = page.locator("#drawer").get_by_text("It is down.")
        await expect(own_words).to_be_hidden()
        await page.get_by_text("For an operator").click()
        await expect(own_words).to_be_visible()
        await expect(page.locator("#set-opening")).to_be_hidden()
        harness.reads.opening_answers.clear()
        await page.click("#drawer-close")
        await refresh(page)
        await page.go_back()
        await expect(opening).to_have_text("not set")
        await expect(page.locator("#set-opening")).to_be_visible()


async def test_an_ended_key_leaves_no_figure_of_an_open_account(browser: Browser) -> None:
    """The account stayed open above the form to sign in, which could not be reached."""
    harness = GatewayHarness()
    address = "/?account=acct_savings&every=0"
    async with open_dashboard(browser, harness, address, expected="status of 401") as page:
        drawer = page.locator("#drawer")
        await expect(drawer).to_contain_text("100.00 EUR")
        assert harness.endpoint is not None
        harness.endpoint._authenticator = ApiKeys([])
        await page.select_option("#every", "0", force=True)
        await page.evaluate("document.getElementById('refresh').click()")
        await expect(page.locator("#notice")).to_contain_text("no longer accepted")
        await expect(drawer).to_be_hidden()
        await expect(page.locator("#key")).to_be_focused()
        await expect(page).to_have_title("Balances")
        assert "100.00" not in await page.evaluate("document.body.textContent")
        harness.endpoint._authenticator = ApiKeys(api_keys())
        await sign_in(page, READ)
        await expect(drawer).to_contain_text("100.00 EUR")


async def test_only_unsettled_shows_the_accounts_with_such_a_write(browser: Browser) -> None:
    harness = GatewayHarness()
    harness.reconciler.unsettled["acct_savings"] = UnsettledWrite(
        "write-1", "acme", "acct_savings", NOW
    )
    async with open_dashboard(browser, harness, "/?only=unsettled", viewport=PHONE) as page:
        await expect(page.locator("#count")).to_have_text("1 of 5 accounts")
        row = page.locator('#accounts tr[data-key="acct_savings"]')
        await expect(row.locator(".chip")).to_have_text("Unsettled")
        assert await find_axe_in_both_schemes(page) == []
        harness.reconciler.unsettled.clear()
        await refresh(page)
        await expect(page.locator("#empty")).to_contain_text(
            "No account matches the filter Unsettled."
        )
        assert await find_axe_in_both_schemes(page) == []


async def test_rows_wait_for_a_spent_budget_and_fill_by_themselves(browser: Browser) -> None:
    harness = GatewayHarness()
    harness.reads.balance_answers["acct_yen"] = BudgetSpent("The budget.", account_id="acct_yen")
    async with open_dashboard(browser, harness) as page:
        row = page.locator('#accounts tr[data-key="acct_yen"]')
        await expect(row.locator(".c-age")).to_have_text("Waiting…")
        await expect(row.locator(".c-bank")).to_have_text("–")
        assert await find_axe_in_both_schemes(page) == []
        await page.clock.install()
        await refresh(page)
        harness.reads.balance_answers.clear()
        await page.clock.run_for(10_100)
        await expect(row.locator(".c-bank")).to_have_text("10,000")
        await expect(row.locator(".c-age")).not_to_contain_text("Waiting")


async def test_failed_days_of_a_chart_say_why_and_are_asked_again(browser: Browser) -> None:
    """A day that had waited for the provider stayed a gap without a word."""
    harness = GatewayHarness()
    harness.reads.balance_answers["acct_savings"] = DOWN
    async with open_dashboard(browser, harness, "/?account=acct_savings&as-of=2026-11-21") as page:
        chart = page.locator("#account-chart")
        await expect(chart).to_contain_text("14 of 14 days have no figure: The provider cannot")
        harness.reads.balance_answers.clear()
        await page.evaluate("document.getElementById('refresh').click()")
        await expect(chart.locator("svg[role=img] .line-0")).to_have_count(1)
        await expect(chart).not_to_contain_text("have no figure")


async def test_an_opening_day_begins_in_the_zone_of_the_account(browser: Browser) -> None:
    """It began at midnight in UTC: the day before in New York."""
    new_york = ZoneInfo("America/New_York")
    harness = GatewayHarness(
        [account("acct_ny", time_zone=new_york, capabilities=frozenset(Capability))]
    )
    zones = [
        ("2026-01-01", "America/New_York", "2026-01-01T05:00:00.000Z"),
        ("2026-07-01", "America/New_York", "2026-07-01T04:00:00.000Z"),
        ("2026-03-29", "Europe/Berlin", "2026-03-28T23:00:00.000Z"),
        ("2026-01-01", "Pacific/Kiritimati", "2025-12-31T10:00:00.000Z"),
        ("2018-11-04", "America/Sao_Paulo", "2018-11-04T03:00:00.000Z"),  # has no midnight
    ]
    async with open_dashboard(browser, harness, "/?account=acct_ny", key=ADMIN) as page:
        for day, zone, instant in zones:
            asked = "([d, z]) => import('/page/numbers.js').then((n) => n.startOfDay(d, z))"
            assert await page.evaluate(asked, [day, zone]) == instant
        await page.click("#set-opening summary")
        await page.fill("#opening-amount", "5")
        await page.fill("#opening-day", "2026-01-01")
        assert await find_axe_in_both_schemes(page) == []
        await page.click("#opening-send")
        await expect(page.locator("#opening-outcome")).to_contain_text("Done")
        await expect(page.locator("#account-opening")).to_contain_text("Jan 1, 2026")
        await page.click("#drawer-close")
        await expect(page.locator("#accounts .c-opening")).to_contain_text("Jan 1, 2026")
    [request] = harness.writer.requests
    assert request.effective_at == datetime(2026, 1, 1, 5, tzinfo=UTC)


async def test_a_day_as_a_provider_writes_it_is_shown_as_that_day(browser: Browser) -> None:
    harness = GatewayHarness([account("acct_ny", time_zone=ZoneInfo("America/New_York"))])
    at = datetime(2026, 1, 1, tzinfo=UTC)
    harness.reads.opening_answers["acct_ny"] = observed(
        OpeningBalance(Money(5, "EUR"), at, OpeningBalanceSource.PROVIDER)
    )
    async with open_dashboard(browser, harness, timezone_id="America/New_York") as page:
        await expect(page.locator("#accounts .c-opening")).to_contain_text("Jan 1, 2026")


async def test_a_day_that_could_not_be_read_is_not_the_name_of_the_file(browser: Browser) -> None:
    harness = GatewayHarness()
    address = "/?as-of=2026-10-31"
    async with open_dashboard(
        browser, harness, address, expected="ERR_INTERNET_DISCONNECTED"
    ) as page:
        await page.context.set_offline(True)
        await page.fill("#as-of", "2026-09-30")
        await page.keyboard.press("Enter")
        await expect(page.locator("#notice")).to_contain_text(re.compile(r"from .+, for Oct 31"))
        async with page.expect_download() as started:
            await page.click("#csv")
        assert (await started.value).suggested_filename == "balances-acme-2026-10-31.csv"


async def test_no_account_and_every_open_part_pass_axe(browser: Browser) -> None:
    failing = GatewayHarness([account("acct_one")])
    failing.reads.balance_answers["acct_one"] = DOWN
    for harness in (GatewayHarness([]), failing):
        async with open_dashboard(browser, harness, viewport=PHONE) as page:
            for part in ("#over-time", "#connectors-details"):
                await page.locator(f"{part} > summary").click()
            await expect(
                page.locator("#totals-chart .hint, #totals-chart .problem").first
            ).to_be_visible()
            assert await find_axe_in_both_schemes(page) == []
            assert "undefined" not in await page.inner_text("body")
            # Days that failed were asked again only when the chart was closed and opened.
            harness.reads.balance_answers.clear()
            await refresh(page)
            drawn = page.locator("#totals-chart svg[role=img]")
            await expect(drawn).to_have_count(1 if harness is failing else 0)


async def test_where_figures_come_from_is_for_keys_with_the_scope(
    browser: Browser, tmp_path: Path
) -> None:
    address = "/?account=local-petty-cash&every=10"
    with run_demo(tmp_path) as (_, printed):
        url = printed["graphql_url"].removesuffix("/graphql")
        async with open_page(browser, f"{url}{address}") as page:
            await sign_in(page, printed["read_key"])
            await page.get_by_text("For an operator").click()
            await expect(page.locator("#account-identity")).to_contain_text("local-petty-cash")
            await expect(page.locator("#explain")).to_be_hidden()
            await expect(page.locator("#set-opening")).to_be_hidden()
            await page.click("#drawer-close")
            await page.click("#sign-out")
            await sign_in(page, printed["admin_key"])
            await page.go_back()
            await page.click("#explain")
            await expect(page.locator("#explanation")).to_contain_text("Europe/Copenhagen")
            await expect(page.locator("#explanation")).to_contain_text("ledger")
            assert await find_axe_in_both_schemes(page) == []


async def test_figures_are_marked_while_the_gateways_process_is_gone(
    browser: Browser, tmp_path: Path
) -> None:
    demo = ("demo", "--json", "--sandbox-port", "0", "--data-dir", str(tmp_path))
    notice = "The gateway cannot be reached. Check your connection. The page tries again by itself."
    with run_process(*demo, "--port", "0") as started:
        assert started.stdout is not None
        printed = json.loads(started.stdout.readline())
        url = printed["graphql_url"].removesuffix("/graphql")
        page_context = open_page(browser, f"{url}/?find=petty", expected="ERR_CONNECTION_REFUSED")
        page = await page_context.__aenter__()
        await sign_in(page, printed["read_key"])
    await page.clock.install()
    await refresh(page)
    await expect(page.locator("#notice")).to_contain_text(notice)
    await expect(page.locator("#notice")).to_contain_text("The figures below are from")
    await expect(page.locator("#board")).to_have_class("outdated")
    await expect(page.locator("#accounts .c-ledger").last).to_contain_text(re.compile(r"\d"))
    assert await find_axe_in_both_schemes(page) == []
    await take_picture(page, "gone")
    with run_process(*demo, "--port", str(urlsplit(url).port)) as started:
        assert started.stdout is not None
        started.stdout.readline()
        await page.clock.run_for(10_100)
        await expect(page.locator("#notice")).to_be_hidden()
        await expect(page.locator("#status")).to_contain_text("Up to date")
        await expect(page.locator("#board")).not_to_have_class("outdated")
        await page_context.__aexit__(None, None, None)
