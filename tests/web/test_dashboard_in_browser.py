"""The page in a browser on a gateway with fakes: old, missing and doubled money, and signing in."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from playwright.async_api import Browser, Page, expect

from balance_gateway.domain.balances import BalanceFigures, MissingReason
from balance_gateway.domain.errors import ProviderUnavailable
from balance_gateway.domain.health import ConnectorStatus, HealthState
from balance_gateway.domain.money import Money
from balance_gateway.ports.reads import FreshnessState
from balance_gateway.web.auth import ApiKeys
from tests.api.fakes import DAY, NOW, READ, GatewayHarness, account, observed, run_server
from tests.web.browser import find_axe_problems, open_page

pytestmark = pytest.mark.asyncio(loop_scope="session")

STALE = {"state": FreshnessState.STALE, "stale_reason": "The provider is down."}
REFUSED = "status of 401"


class DownWatch:
    def status(self, connector: str) -> ConnectorStatus:
        return ConnectorStatus(HealthState.DOWN, last_failure_code="PROVIDER_UNAVAILABLE")

    def count_changes(self, connector: str) -> int:
        return 0


async def sign_in(page: Page, key: str = READ) -> None:
    await page.fill("#key", key)
    await page.click("#sign-in button")
    await wait_for_figures(page)


async def wait_for_figures(page: Page) -> None:
    await expect(page.locator("#status")).to_contain_text("Up to date")


@asynccontextmanager
async def open_dashboard(
    browser: Browser, harness: GatewayHarness, **context: Any
) -> AsyncIterator[Page]:
    """Open the page, signed in, with its first balances."""
    async with run_server(harness.app()) as url, open_page(browser, f"{url}/", **context) as page:
        await sign_in(page)
        yield page


async def read_card(page: Page, currency: str) -> tuple[str, str, str]:
    """Return the classes, the chip and the whole text of a total's card."""
    card = page.locator("#totals .card", has=page.get_by_text(currency, exact=True))
    chip = card.locator(".chip")
    text = re.sub(r"\s+", " ", await card.inner_text())
    return str(await card.get_attribute("class")), await chip.inner_text(), text


async def assert_fits(page: Page) -> None:
    """Fail if the page is wider than the window, or a card is."""
    for width in (1280, 375):
        await page.set_viewport_size({"width": width, "height": 860})
        assert await page.evaluate("document.documentElement.scrollWidth") == width
        assert not await page.evaluate(
            "[...document.querySelectorAll('.card *')].some("
            "(each) => each.getBoundingClientRect().right > window.innerWidth)"
        )


async def test_a_total_with_a_stale_balance_is_amber_with_its_age(browser: Browser) -> None:
    """Totals were green and complete while a provider was down and everything was old."""
    harness = GatewayHarness()
    figures = BalanceFigures(DAY, Money(1, "EUR"), Money(1, "EUR"))
    harness.reads.balance_answers["acct_savings"] = replace(
        observed(figures, **STALE), observed_at=NOW - timedelta(days=9000)
    )
    harness.gateway = replace(harness.gateway, watch=DownWatch())

    async with open_dashboard(browser, harness) as page:
        stale, fresh = await read_card(page, "EUR"), await read_card(page, "JPY")
        row = await page.locator('#accounts tr[data-key="acct_savings"]').inner_text()
        outage = await page.locator("#outage").inner_text()
        await page.locator('input[name="only"][value="stale"]').check()
        await expect(page.locator("#count")).to_have_text("1 of 5 accounts")
        axe = await find_axe_problems(page)
        await assert_fits(page)

    assert (stale[0], stale[1]) == ("card stale", "1 of 2 old")
    assert re.search(r"Nov 20, 2026 to Nov 21, 2026 · oldest figure [\d,]+ days ago", stale[2])
    assert (fresh[0], fresh[1]) == ("card", "Complete")
    assert "Nov 21, 2026 · oldest" in fresh[2]
    assert "Old: " in row
    assert "Light (light_eu) is down; 1 account shows an older figure." in outage
    assert axe == []


async def test_a_total_names_days_reasons_and_what_it_left_out(browser: Browser) -> None:
    zones = ("Pacific/Apia", "America/Lima", "UTC", "UTC", "UTC", "UTC")
    harness = GatewayHarness(
        [account(f"acct_{n}", time_zone=ZoneInfo(zone)) for n, zone in enumerate(zones)]
    )
    same = BalanceFigures(DAY, Money(5, "EUR"), Money(5, "EUR"), remote_path=("one",))
    not_in_file = MissingReason.NOT_IN_FILE
    harness.reads.balance_answers = {
        "acct_2": observed(same),
        "acct_3": observed(same),
        "acct_4": observed(BalanceFigures(DAY, None, None, not_in_file, not_in_file)),
        "acct_5": ProviderUnavailable("It is down.", account_id="acct_5"),
    }

    async with open_dashboard(browser, harness) as page:
        classes, chip, card = await read_card(page, "EUR")
        rows = await page.locator("#accounts tr[data-key]").all_inner_texts()
        await expect(page.locator("#outage")).to_be_hidden()
        await page.select_option("#group", "currency")
        subtotal = await page.locator("#accounts .subtotal").inner_text()
        await assert_fits(page)

    assert (classes, chip) == ("card", "2 missing")
    assert "3 accounts · Nov 20, 2026 to Nov 22, 2026" in card
    assert "Not added twice acct_3" in card
    assert card.endswith("not in the file: acct 4 The provider cannot be reached: acct 5")
    assert rows[4].count("not in the file") == 3
    assert "The provider cannot be reached" in rows[5]
    assert "Nov 22, 2026" in rows[0]
    # The same sum as the card's: the doubled account is in neither.
    assert "6 accounts, without acct_3: the same money as another account" in subtotal
    assert "200.05" in subtotal
    assert "200.05" in card


async def test_wrong_and_ended_keys_are_asked_for_again_without_figures(browser: Browser) -> None:
    harness = GatewayHarness()
    app = harness.app()
    async with run_server(app) as url, open_page(browser, f"{url}/", expected=REFUSED) as page:
        assert await find_axe_problems(page) == []
        await page.fill("#key", "wrong")
        await page.click("#sign-in button")
        await expect(page.locator("#notice")).to_contain_text("is not accepted")
        await sign_in(page)
        assert harness.endpoint is not None
        harness.endpoint._authenticator = ApiKeys([])
        await page.click("#refresh")
        await expect(page.locator("#notice")).to_contain_text("no longer accepted")
        await expect(page.locator("#key")).to_be_focused()
        assert await page.locator("#accounts tr[data-key]").count() == 0
        assert await page.locator("#totals .card").count() == 0


async def test_balances_from_before_a_failed_refresh_are_marked(browser: Browser) -> None:
    harness = GatewayHarness()
    async with open_dashboard(browser, harness, expected="ERR_INTERNET_DISCONNECTED") as page:
        await page.context.set_offline(True)
        await page.click("#refresh")
        notice = page.locator("#notice")
        await expect(notice).to_contain_text("The gateway cannot be reached.")
        await expect(notice).to_contain_text("The figures below are from")
        await expect(page.locator("#board")).to_have_class("outdated")
        axe = await find_axe_problems(page)
        await page.context.set_offline(False)
        await page.click("#refresh")
        await wait_for_figures(page)
        await expect(notice).to_be_hidden()

    assert axe == []


async def test_an_unchanged_board_is_answered_with_304_and_a_write_is_seen(
    browser: Browser,
) -> None:
    harness = GatewayHarness()
    async with open_dashboard(browser, harness) as page:
        answers: list[tuple[str, int]] = []
        page.on(
            "response",
            lambda response: answers.append(
                (re.search(r"query\+(\w+)", response.url)[1], response.status)  # type: ignore[index]
            ),
        )
        await page.click("#refresh")
        await expect(page.locator("#refresh")).to_be_enabled()
        unchanged = sorted(answers)
        answers.clear()
        harness.reads.balance_answers["acct_yen"] = observed(
            BalanceFigures(DAY, Money(77, "JPY"), Money(78, "JPY"))
        )
        await page.click("#refresh")
        row = page.locator('#accounts tr[data-key="acct_yen"]')
        await expect(row.locator(".c-difference")).to_have_text("-1")
        await expect(page.locator("#refresh")).to_be_enabled()

    assert unchanged == [("Accounts", 304), ("Openings", 304), ("Summary", 304)]
    assert sorted(answers) == [("Accounts", 200), ("Openings", 304), ("Summary", 200)]


async def test_a_reader_of_a_key_without_the_scope_learns_why(browser: Browser) -> None:
    async with (
        run_server(GatewayHarness().app()) as url,
        open_page(browser, f"{url}/") as page,
    ):
        await page.fill("#key", "key-auditor")
        await page.click("#sign-in button")
        await expect(page.locator("#notice")).to_contain_text("needs the scope balances:read")


@asynccontextmanager
async def run_proxy(url: str, header: bytes) -> AsyncIterator[str]:
    """Run a proxy as an identity provider's would be: it adds a header to each request."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = int(url.rsplit(":", 1)[1])
        there, to_gateway = await asyncio.open_connection("127.0.0.1", port)

        async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            while data := await source.read(65_536):
                target.write(data)
                await target.drain()
            target.close()

        back = asyncio.ensure_future(pump(there, writer))
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                to_gateway.write(head[:-2] + header + b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            to_gateway.close()
            await asyncio.gather(back, return_exceptions=True)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_behind_a_proxy_that_signs_people_in_no_key_is_asked(browser: Browser) -> None:
    """Also below a prefix, as docs/page.md configures it."""
    app = GatewayHarness().app(root_path="/balances")
    async with (
        run_server(app) as url,
        run_proxy(url, f"Authorization: Bearer {READ}".encode()) as proxy,
        open_page(browser, f"{proxy}/balances") as page,
    ):
        await wait_for_figures(page)
        await expect(page.locator("#sign-in")).to_be_hidden()
        await expect(page.locator("#sign-out")).to_be_hidden()
        await expect(page.locator("#tenant")).to_have_text("acme")
        await page.get_by_role("link", name="Yen").click()
        await expect(page.locator("#account-title")).to_have_text("Yen")
        await expect(page).to_have_url(re.compile(r"/balances/\?account=acct_yen"))
        await expect(page.locator("#account-chart svg[role=img]")).to_be_visible()
        await page.go_back()
        await expect(page.locator("#drawer")).to_be_hidden()
        await page.select_option("#group", "currency")
        await expect(page).to_have_url(f"{proxy}/balances/?group=currency")
        await page.reload()
        await wait_for_figures(page)
        await expect(page.locator("#accounts .subtotal").first).to_be_visible()
