"""The dashboard in a real browser: what a treasurer sees of old, missing and doubled money."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from balance_gateway.domain.balances import BalanceFigures, MissingReason
from balance_gateway.domain.errors import ProviderUnavailable
from balance_gateway.domain.health import ConnectorStatus, HealthState
from balance_gateway.domain.money import Money
from balance_gateway.ports.reads import FreshnessState
from tests.api.fakes import DAY, NOW, READ, GatewayHarness, account, observed, run_server
from tests.web.browser import CHROMIUM, Page, open_page

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")

WIDTHS = (1280, 375)
STALE = {"state": FreshnessState.STALE, "stale_reason": "The provider is down."}


class DownWatch:
    def status(self, connector: str) -> ConnectorStatus:
        return ConnectorStatus(HealthState.DOWN, last_failure_code="PROVIDER_UNAVAILABLE")

    def count_changes(self, connector: str) -> int:
        return 0


@asynccontextmanager
async def open_dashboard(harness: GatewayHarness, folder: Path) -> AsyncIterator[Page]:
    """Open the page, signed in, and wait for its first balances."""
    async with run_server(harness.app()) as url, open_page(folder) as page:
        await page.call("Page.navigate", url=f"{url}/")
        await page.wait_until('document.readyState === "complete" && !!document.forms["sign-in"]')
        await page.evaluate(
            f'document.getElementById("key").value = "{READ}";'
            'document.forms["sign-in"].requestSubmit();'
        )
        await page.wait_until('!!document.querySelector("#accounts tr")')
        yield page


async def read_card(page: Page, title: str) -> dict[str, Any]:
    """Return the chip, the facts and the classes of a total's card."""
    card = f"""[...document.querySelectorAll("#totals .card")]
        .find((card) => card.querySelector("h3 span").textContent === "{title}")"""
    found: dict[str, Any] = await page.evaluate(
        f"""(() => {{
            const card = {card};
            const chip = card.querySelector(".chip");
            return {{
                chip: chip.textContent, chipClass: chip.className, cardClass: card.className,
                color: getComputedStyle(chip).color,
                facts: Object.fromEntries([...card.querySelectorAll(".facts div")].map(
                    (fact) => [fact.children[0].textContent, fact.children[1].textContent])),
                missing: [...card.querySelectorAll(".missing li")].map((li) => li.textContent),
            }};
        }})()"""
    )
    return found


async def assert_fits(page: Page) -> None:
    """Fail if the page is wider than the window, or a text of a card is cut off."""
    for width in WIDTHS:
        await page.set_width(width)
        widths = await page.evaluate(
            "[document.documentElement.scrollWidth > window.innerWidth, window.innerWidth, "
            '[...document.querySelectorAll(".card *")].some('
            "(each) => each.getBoundingClientRect().right > window.innerWidth)]"
        )
        assert widths == [False, width, False]


async def test_a_total_with_a_stale_balance_is_amber_with_its_age(tmp_path: Path) -> None:
    """Totals were green and complete while a provider was down and everything was old."""
    harness = GatewayHarness()
    figures = BalanceFigures(DAY, Money(1, "EUR"), Money(1, "EUR"))
    harness.reads.balance_answers["acct_savings"] = replace(
        observed(figures, **STALE), observed_at=NOW - timedelta(days=9000)
    )
    harness.gateway = replace(harness.gateway, watch=DownWatch())

    async with open_dashboard(harness, tmp_path) as page:
        stale, fresh = await read_card(page, "EUR"), await read_card(page, "JPY")
        outage = await page.evaluate(
            '[document.getElementById("outage").hidden, '
            'document.getElementById("outage").innerText]'
        )
        await assert_fits(page)

    assert (stale["chip"], stale["chipClass"]) == ("1 of 2 stale", "chip stale")
    assert stale["cardClass"] == "card stale"
    assert stale["facts"]["Stale"] == "1 of 2"
    assert stale["facts"]["Oldest read"].endswith(" d ago")
    assert stale["facts"]["Days"] == "2026-11-20 to 2026-11-21"
    assert (fresh["chip"], fresh["cardClass"]) == ("Complete", "card")
    assert fresh["color"] != stale["color"]
    assert fresh["facts"]["Day"] == "2026-11-21"
    assert outage[0] is False
    assert outage[1].startswith("Down: asset_us (last success: unknown), light_eu (")
    assert page.problems == []


async def test_a_total_names_days_reasons_and_what_it_left_out(tmp_path: Path) -> None:
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

    async with open_dashboard(harness, tmp_path) as page:
        card = await read_card(page, "EUR")
        cells = await page.evaluate(
            '[...document.querySelectorAll("#accounts tr")].map((row) => '
            "[...row.children].map((cell) => cell.innerText))"
        )
        is_outage_hidden = await page.evaluate('document.getElementById("outage").hidden')
        await assert_fits(page)

    assert (card["chip"], card["chipClass"]) == ("2 missing", "chip failed")
    assert card["facts"]["Accounts"] == "3"
    assert card["facts"]["Days"] == "2026-11-20 to 2026-11-22"
    assert card["facts"]["Not added twice"] == "acct_3"
    assert card["missing"] == ["acct 4: not in the file", "acct 5: PROVIDER_UNAVAILABLE"]
    assert [row[3:6] for row in cells][4] == ["not in the file"] * 3
    assert cells[0][7].endswith("2026-11-22")
    assert is_outage_hidden is True
    assert page.problems == []


async def test_balances_from_before_a_failed_refresh_are_marked(tmp_path: Path) -> None:
    harness = GatewayHarness()
    async with open_dashboard(harness, tmp_path) as page:
        await page.evaluate("globalThis.fetch = () => Promise.reject(new Error('No network.'))")
        await page.evaluate('document.getElementById("refresh").click()')
        await page.wait_until('!document.getElementById("notice").hidden')
        shown = await page.evaluate(
            '[document.getElementById("notice").textContent, '
            'document.getElementById("board").className]'
        )

    assert shown == ["No network. The balances below are from before.", "outdated"]
