"""The page in a browser on the running demo: what a person from finance does with it."""

import csv
import io
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from tests.web.browser import find_axe_problems, open_page, take_picture
from tests.web.conftest import Demo

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROWS = "#accounts tr[data-key]"
LIGHT_DOWN = {"kind": "503", "provider": "light", "times": None}


@asynccontextmanager
async def sign_in(
    browser: Browser, demo: Demo, address: str = "/", *, key: str = "", **context: Any
) -> AsyncIterator[Page]:
    """Open the page, signed in, with all figures read."""
    async with open_page(browser, f"{demo.url}{address}", **context) as page:
        await page.fill("#key", key or demo.admin.key)
        await page.click("#sign-in button")
        await wait_for_figures(page)
        yield page


async def wait_for_figures(page: Page) -> None:
    await expect(page.locator("#status")).to_contain_text("Up to date")


def find_row(page: Page, account: str) -> Locator:
    return page.locator(f'#accounts tr[data-key="{account}"]')


async def lay_out_all(page: Page) -> None:
    """Put every row into the document, as for printing; else only those near the window are."""
    await page.evaluate("dispatchEvent(new Event('beforeprint'))")


async def refresh(page: Page) -> None:
    await page.click("#refresh")
    await expect(page.locator("#refresh")).to_be_enabled()


async def test_the_first_view_says_what_it_shows_and_passes_axe(browser: Browser, demo: Demo):
    async with sign_in(browser, demo) as page:
        await expect(page).to_have_title("Balances · acme")
        await expect(page.locator("#count")).to_have_text("156 accounts")
        cards = await page.locator("#totals .card").all_inner_texts()
        eur = next(card for card in cards if card.startswith("EUR"))
        # A total of banks and one of books compare where both are known only.
        assert re.search(r"Bank, 14 of 15\s+[\d,]+\.\d\d\s+Books\s+[\d,]+\.\d\d", eur)
        assert "Difference, 14 with both" in eur
        assert "oldest figure just now" in eur
        assert await page.locator("#accounts tr").count() < 60
        assert await find_axe_problems(page) == []
        await take_picture(page, "first-view")


async def test_an_outage_is_named_until_it_is_over(browser: Browser, demo: Demo):
    future = (datetime.now(UTC) + timedelta(30)).date().isoformat()
    async with sign_in(browser, demo, "/?find=light-operating-eur&every=0") as page:
        demo.admin.control("POST", "faults", LIGHT_DOWN)
        try:
            await page.fill("#as-of", future)
            await page.keyboard.press("Enter")
            await expect(page.locator("#as-of-hint")).to_contain_text("is still to come")
            await refresh(page)
            await refresh(page)
            outage = page.locator("#outage")
            await expect(outage).to_contain_text("Light (light-acme) is down since")
            countdown = outage.locator('[aria-live="off"]')
            await expect(countdown).to_contain_text(
                re.compile(r"Tried again (in \d|at the next refresh)")
            )
            await expect(outage).to_contain_text("have no figure")
            await expect(find_row(page, "light-operating-eur")).to_contain_text(
                "The provider cannot be reached"
            )
            assert await find_axe_problems(page) == []
            await take_picture(page, "outage")
        finally:
            demo.admin.control("DELETE", "faults")
        await page.click("#connectors-title")
        for _ in range(60):
            await refresh(page)
            if not await outage.is_visible():
                break
            await page.wait_for_timeout(500)
        await expect(outage).to_be_hidden()
        await page.click("#today")
        bank = find_row(page, "light-operating-eur").locator(".c-bank")
        await expect(bank).to_contain_text(re.compile(r"\d,\d"))


async def test_find_filter_sort_and_group_are_in_the_address(browser: Browser, demo: Demo):
    async with sign_in(browser, demo) as page:
        await page.fill("#find", "light")
        # Eight sums once came before the account that a reader looked for.
        await expect(page.locator(ROWS).first).to_contain_text("Collections EUR")
        await page.fill("#find", "light eur")
        await expect(page.locator("#count")).to_have_text("14 of 156 accounts")
        await expect(page.locator(ROWS).first).to_contain_text("Shown accounts")
        await page.get_by_role("button", name="Difference").click()
        await lay_out_all(page)
        amounts = await page.locator(f"{ROWS} .c-difference").all_inner_texts()
        sizes = [abs(float(each.replace(",", ""))) for each in amounts[1:]]
        assert sizes == sorted(sizes, reverse=True)
        await page.select_option("#group", "currency")
        first = page.locator(ROWS).first
        await expect(first).to_contain_text("14 accounts")
        total = float((await first.locator(".c-difference").inner_text()).replace(",", ""))
        assert round(total, 2) == round(sum(float(x.replace(",", "")) for x in amounts[1:]), 2)
        await expect(page).to_have_url(re.compile(r"find=light\+eur"))
        await expect(page).to_have_url(re.compile("sort=-difference&group=currency"))
        await take_picture(page, "grouped")
        shared = page.url

        await page.go_back()
        await expect(page.locator("#group")).to_have_value("")
        await page.fill("#find", "no such account")
        await expect(page.locator("#empty")).to_contain_text(
            "No account matches “no such account”."
        )
        await page.click("#clear")
        await expect(page.locator("#count")).to_have_text("156 accounts")
        await page.goto(shared)
        await expect(page.locator("#count")).to_have_text("14 of 156 accounts")
        await expect(page.locator("#find")).to_have_value("light eur")
        await expect(page).to_have_title("Balances · acme · “light eur”")


async def test_a_day_typed_by_keyboard_is_asked_when_it_is_complete(browser: Browser, demo: Demo):
    """Typing a year once asked for the years 0002, 0020 and 0202."""
    async with sign_in(browser, demo, "/?find=local-petty-cash") as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await page.focus("#as-of")
        await page.keyboard.type("06302026")
        assert [url for url in asked if "asOf%22%3A%220" in url] == []
        await page.keyboard.press("Enter")
        await expect(find_row(page, "local-petty-cash")).to_contain_text("Jun 30, 2026")
        await expect(page).to_have_url(re.compile("as-of=2026-06-30"))
        await expect(page).to_have_title("Balances · acme · Jun 30, 2026 · “local-petty-cash”")
        await page.focus("#as-of")
        await page.keyboard.type("01010020")
        await page.keyboard.press("Enter")
        await expect(page.locator("#as-of-hint")).to_contain_text("a year from 1990")
        await page.focus("#today")
        await page.keyboard.press("Enter")
        await expect(page.locator("#as-of-hint")).to_be_hidden()
        await expect(page.locator("#today")).to_be_focused()
        # A month end is asked where the reader stays, not each one that the arrow keys pass.
        asked.clear()
        await page.focus("#month-end")
        async with page.expect_request(re.compile("asOf%22%3A%22")):
            for key in ("ArrowDown", "ArrowDown", "ArrowDown", "Enter"):
                await page.keyboard.press(key)
        await expect(page).to_have_url(re.compile("as-of="))
        days = {day for url in asked for day in re.findall(r"asOf%22%3A%22([\d-]+)", url)}
        assert len(days) == 1


async def test_a_row_opens_with_its_history_and_closes_by_keyboard(browser: Browser, demo: Demo):
    async with sign_in(browser, demo) as page:
        link = page.get_by_role("link", name="Petty cash", exact=True)
        await page.fill("#find", "local-petty")
        await link.focus()
        await page.keyboard.press("Enter")
        drawer = page.locator("#drawer")
        await expect(drawer.locator("#account-title")).to_have_text("Petty cash")
        await expect(drawer.locator("svg[role=img] .line-0")).to_have_count(1)
        await expect(page).to_have_url(re.compile("account=local-petty-cash"))
        slider = drawer.get_by_role("slider", name="Day")
        shown = await drawer.locator("output").inner_text()
        await slider.focus()
        await page.keyboard.press("ArrowLeft")
        assert await drawer.locator("output").inner_text() != shown
        assert await drawer.locator(".days tbody tr").count() == 90
        assert await find_axe_problems(page) == []
        await take_picture(page, "account")
        await drawer.get_by_text("For an operator").click()
        await page.click("#explain")
        await expect(page.locator("#explanation")).to_contain_text("Europe/Copenhagen")
        await page.keyboard.press("Escape")
        await expect(drawer).to_be_hidden()
        await expect(link).to_be_focused()
        await expect(page).not_to_have_url(re.compile("account="))
        await page.go_back()
        await expect(drawer).to_be_visible()


async def test_totals_over_time_are_a_chart_with_gaps_and_a_table(browser: Browser, demo: Demo):
    async with sign_in(browser, demo, "/?every=0") as page:
        await page.get_by_text("Totals over time").click()
        figure = page.locator("#totals-chart")
        await expect(figure.locator("svg[role=img], .hint").first).to_be_visible()
        await page.select_option("#series-currency", "USD")
        await expect(figure.locator("figcaption")).to_have_text("Totals in USD")
        await expect(figure.locator(".days tbody tr")).to_have_count(5)
        assert await find_axe_problems(page) == []


async def set_opening(page: Page, amount: str) -> Locator:
    """Open the form if needed, send an amount, and return where the outcome is shown."""
    if not await page.locator("#opening-form").is_visible():
        await page.click("#set-opening summary")
    await page.fill("#opening-amount", amount)
    await page.click("#opening-send")
    return page.locator("#opening-outcome")


async def test_an_opening_balance_is_set_in_all_three_outcomes(browser: Browser, demo: Demo):
    account = "light-savings-eur"
    async with sign_in(browser, demo, f"/?account={account}&find={account}&every=0") as page:
        await page.click("#set-opening summary")
        await page.fill("#opening-amount", "1,23")
        await expect(page.locator("#opening-echo")).to_contain_text("Enter an amount such as")
        outcome = await set_opening(page, "-1,234.5")
        await expect(outcome).to_contain_text("-1,234.50 EUR")
        await expect(page.locator("#account-opening")).to_contain_text("-1,234.50 EUR")
        await expect(find_row(page, account).locator(".c-opening")).to_contain_text("-1,234.50")

        demo.admin.data(
            'mutation { upsertOpeningBalance(input: {accountId: "light-savings-eur",'
            ' amount: {amount: "7.00", currency: "EUR"}}) { __typename } }'
        )
        await set_opening(page, "8")
        await expect(outcome).to_contain_text("Nothing was changed.")
        await expect(outcome).to_contain_text("It is 7.00 EUR now.")
        await expect(page.locator("#opening-limits")).to_contain_text("still 7.00 EUR")

        for method in ("PUT", "POST"):
            fault = {"kind": "drop_before", "provider": "light", "method": method, "times": None}
            demo.admin.control("POST", "faults", fault)
        try:
            await set_opening(page, "9")
            await expect(outcome).to_contain_text("It is unknown whether the provider has it.")
            await expect(outcome).to_be_in_viewport()
        finally:
            demo.admin.control("DELETE", "faults")
        await expect(page.locator("#unsettled")).to_contain_text("9.00 EUR was sent")
        assert await find_axe_problems(page) == []
        await take_picture(page, "unsettled")
        await page.get_by_label("The provider has another amount, or none").check()
        await page.fill("#settle-note", "Looked at the provider.")
        await page.click("#settle-send")
        await expect(page.locator("#unsettled")).to_be_hidden()
        await expect(page.locator("#account-title")).to_be_focused()
        await page.click("#drawer-close")


def read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8-sig")


def extract_text(path: Path) -> str:
    """Return the text of a PDF."""
    if shutil.which("pdftotext") is None:
        pytest.skip("no pdftotext on PATH: install poppler-utils")
    done = subprocess.run(
        ["pdftotext", "-layout", str(path), "-"], capture_output=True, text=True, check=True
    )
    return done.stdout


async def test_the_csv_has_what_the_table_shows(browser: Browser, demo: Demo):
    async with sign_in(browser, demo, "/?find=layer&sort=-ledger&group=currency") as page:
        async with page.expect_download() as started:
            await page.click("#csv")
        download = await started.value
        text = read_text(await download.path())
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
        cells = ["=1+1", "+1", "-cmd", "@x", "-12.50", 'a "b", c']
        encoded = await page.evaluate(
            "(cells) => import('/page/csv.js').then((csv) => cells.map(csv.encodeCell))", cells
        )
        assert encoded == ["'=1+1", "'+1", "'-cmd", "'@x", "-12.50", '"a ""b"", c"']
        await lay_out_all(page)
        shown = await page.locator(f"{ROWS}:not(.subtotal)").all()
        assert len(rows) == len(shown) > 20
        for row, element in zip(rows, shown, strict=True):
            cells = await element.locator("td, th").all_inner_texts()
            assert cells[0].split("\n") == [row["name"], row["id"]]
            assert cells[2] == row["currency"]
            if row["bank"]:
                assert cells[3].replace(",", "") == row["bank"]
            assert cells[4].replace(",", "") == row["ledger"]


async def test_print_has_every_account_with_its_whole_amounts(
    browser: Browser, demo: Demo, tmp_path: Path
):
    async with sign_in(browser, demo) as page:
        await page.pdf(path=tmp_path / "page.pdf", prefer_css_page_size=True)
        amounts = await page.evaluate(
            """async () => {
              dispatchEvent(new Event("beforeprint"));
              return [...document.querySelectorAll("#accounts .c-ledger")].map((e) => e.innerText);
            }"""
        )
    printed = extract_text(tmp_path / "page.pdf")
    assert len(amounts) == 156
    assert [each for each in amounts if each not in printed] == []


async def test_a_phone_shows_amounts_without_scrolling_sideways(browser: Browser, demo: Demo):
    phone = {"viewport": {"width": 390, "height": 844}, "reduced_motion": "reduce"}
    address = "/?find=light-operating-eur"
    async with sign_in(browser, demo, address, color_scheme="light", **phone) as page:
        # The totals are a line each, with both sums, so that accounts are on the first screen.
        first = await page.locator("#accounts tr[data-key]").first.bounding_box()
        assert first is not None
        assert first["y"] + first["height"] <= 844
        opener = page.get_by_role("button", name="EUR", exact=True)
        card = page.locator("#totals .card", has=opener)
        for amount in (await card.locator("dd").all())[:2]:
            await expect(amount).to_be_visible()
        await expect(card).not_to_contain_text(" accounts · ", use_inner_text=True)
        await opener.click()
        await expect(card).to_contain_text(" accounts · ", use_inner_text=True)
        await opener.click()
        row = find_row(page, "light-operating-eur")
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme=scheme)
            await page.locator("#accounts-title").evaluate("(title) => title.scrollIntoView()")
            assert await page.evaluate("document.documentElement.scrollWidth") == 390
            for name in ("bank", "ledger", "difference"):
                box = await row.locator(f".c-{name}").bounding_box()
                assert box is not None
                assert 0 <= box["x"] <= box["x"] + box["width"] <= 390
            assert await find_axe_problems(page) == []
            await take_picture(page, f"phone-{scheme}")
        await row.click()
        await expect(page.locator("#account-chart svg[role=img]")).to_be_visible()
        assert await page.evaluate("document.getElementById('drawer').scrollWidth") <= 390
        assert await find_axe_problems(page) == []


async def test_numbers_and_dates_have_the_forms_of_the_browser(browser: Browser, demo: Demo):
    address = "/?find=layer-operating-checking&as-of=2026-06-30"
    typed = ["1.234,50", "1,234.50", "1\u202f234,50", "-7", "1,23,4", "abc", ""]
    read = {
        "de-DE": ["1234.50", None, None, "-7", None, None, None],
        "fr-FR": [None, None, "1234.50", "-7", None, None, None],
        "ja-JP": [None, "1234.50", None, "-7", None, None, None],
    }
    forms = {
        "de-DE": (r"\d+(\.\d{3})+,\d\d", "30.06.2026"),
        "fr-FR": (r"\d+(\u202f\d{3})+,\d\d", "30 juin 2026"),
        "ja-JP": (r"\d+(,\d{3})+\.\d\d", "2026/06/30"),
    }
    for locale, (amount, day) in forms.items():
        async with sign_in(browser, demo, address, locale=locale) as page:
            row = find_row(page, "layer-operating-checking")
            await expect(row.locator(".c-age")).to_contain_text(day)
            await expect(row.locator(".c-ledger")).to_have_text(re.compile(f"^{amount}$"))
            parsed = await page.evaluate(
                "(t) => import('/page/numbers.js').then((n) => t.map(n.parseAmount))", typed
            )
            assert parsed == read[locale]
