"""Axe finds nothing in any state of the page, light and dark. A new state is one line of STATES."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from balance_gateway.domain.accounts import Capability
from balance_gateway.domain.balances import BalanceFigures, OpeningBalance, OpeningBalanceSource
from balance_gateway.domain.errors import BudgetSpent, ErrorCode, ProviderUnavailable
from balance_gateway.domain.health import ConnectorStatus, HealthState
from balance_gateway.domain.money import Money
from balance_gateway.domain.writes import WriteIntent, WriteOutcome, WriteRecord
from balance_gateway.ports.reads import FreshnessState
from balance_gateway.service.opening_balances import Rejected, Uncertain
from tests.api.fakes import ADMIN, DAY, NOW, GatewayHarness, account, observed, run_server
from tests.web.browser import find_axe_problems, open_page

pytestmark = pytest.mark.asyncio(loop_scope="session")

WIDE, PHONE = (1280, 860), (390, 844)
ID = "acct_savings"
OPEN = f"/?account={ID}"
OPENING = observed(
    OpeningBalance(Money(70_000, "EUR"), NOW, OpeningBalanceSource.PROVIDER, memo="As of the bank")
)


class SwitchedWatch:
    """Says that a connector is up, or while ``is_down`` that it is down."""

    is_down = False

    def status(self, connector: str) -> ConnectorStatus:
        if self.is_down:
            return ConnectorStatus(
                HealthState.DOWN,
                last_success_at=NOW,
                last_failure_at=NOW,
                last_failure_code="PROVIDER_UNAVAILABLE",
                down_since=NOW,
            )
        return ConnectorStatus(HealthState.UP, last_success_at=NOW)

    def count_changes(self, connector: str) -> int:
        return int(self.is_down)


WATCH = SwitchedWatch()


async def stay(page: Page) -> None:
    """Do nothing."""


async def type_wrong_key(page: Page) -> None:
    await page.fill("#key", "wrong")
    await page.click("#sign-in button")


async def go_offline(page: Page) -> None:
    await page.context.set_offline(True)
    await page.click("#refresh")


async def open_parts(page: Page) -> None:
    for part in ("#over-time", "#connectors-details"):
        await page.locator(f"{part} > summary").click()


async def open_operators_part(page: Page) -> None:
    await page.locator("#drawer details:has(#account-identity) > summary").click()


async def open_form(page: Page) -> None:
    await page.click("#set-opening summary")
    await page.fill("#opening-amount", "1.5")


async def send_form(page: Page) -> None:
    await open_form(page)
    await page.click("#opening-send")


async def type_no_amount(page: Page) -> None:
    await page.click("#set-opening summary")
    await page.fill("#opening-amount", "1,5,")


async def type_odd_day(page: Page) -> None:
    await page.focus("#as-of")
    await page.keyboard.type("01010020")
    await page.keyboard.press("Enter")


async def print_page(page: Page) -> None:
    await page.emulate_media(media="print")
    await page.evaluate("dispatchEvent(new Event('beforeprint'))")


def spend_budget(harness: GatewayHarness) -> None:
    harness.reads.balance_answers[ID] = BudgetSpent("The budget.", account_id=ID)


def fail_reads(harness: GatewayHarness) -> None:
    down = ProviderUnavailable("It is down.", account_id=ID)
    harness.reads.balance_answers[ID] = harness.reads.opening_answers[ID] = down


def bring_down(harness: GatewayHarness) -> None:
    WATCH.is_down = True
    figures = BalanceFigures(DAY, Money(-1, "EUR"), Money(1, "EUR"))
    stale = observed(figures, 9000, state=FreshnessState.STALE, stale_reason="It is down.")
    harness.reads.balance_answers[ID] = stale


def leave_unsettled(harness: GatewayHarness) -> None:
    intent = WriteIntent(
        id="write-1",
        tenant="acme",
        account_id=ID,
        remote_account="remote",
        connector="light_eu",
        principal="admin",
        amount=Money(80_000, "EUR"),
        effective_at=NOW,
        memo=None,
        reference_number=None,
        idempotency_key=None,
        fingerprint="f",
        previous=None,
        started_at=NOW,
    )
    harness.reconciler.unsettled[ID] = WriteRecord(intent, WriteOutcome.UNCERTAIN)


def reject(harness: GatewayHarness) -> None:
    harness.writer.results[ID] = Rejected(
        ErrorCode.WRITE_NOT_APPLIED,
        "It is another one.",
        False,
        "expectedPrevious",
        current=OPENING,
    )


def lose_the_answer(harness: GatewayHarness) -> None:
    harness.writer.results[ID] = Uncertain(account(ID), "write-1", "No answer came.")


def prepare_nothing(harness: GatewayHarness) -> None:
    """Leave the gateway as it is."""


Act = Callable[[Page], Awaitable[None]]
Prepare = Callable[[GatewayHarness], None]


@dataclass(frozen=True)
class State:
    """A state of the page.

    Attributes:
        address: where it begins.
        shown: what is visible in it, as a selector.
        act: what the reader does.
        prepare: what the gateway answers.
        size: of the window.
        key: of the reader; empty before signing in.
    """

    address: str
    shown: str
    act: Act = stay
    prepare: Prepare = prepare_nothing
    size: tuple[int, int] = WIDE
    key: str = ADMIN


STATES = {
    "sign-in": State("/", "#sign-in", key=""),
    "wrong key": State("/", "#notice", type_wrong_key, key=""),
    "first view": State("/", "#totals .card"),
    "grouped": State("/?group=currency", "#accounts .subtotal"),
    "nothing found": State("/?find=nothing", "#empty"),
    "odd day": State("/", "#as-of-hint", type_odd_day),
    "waiting": State("/", "#accounts .chip.wait", prepare=spend_budget),
    "failed rows": State("/", "#accounts .problem", prepare=fail_reads),
    "outage": State("/", "#outage", prepare=bring_down),
    "gateway gone": State("/", "#board.outdated #accounts", go_offline),
    "over time and connectors": State("/", "#totals-chart svg[role=img]", open_parts),
    "account and chart": State(OPEN, "#account-chart svg[role=img]"),
    "failed account": State(OPEN, "#account-opening .problem", prepare=fail_reads),
    "for an operator": State(OPEN, "#account-identity", open_operators_part),
    "opening form": State(OPEN, "#opening-send", open_form),
    "no amount": State(OPEN, "#opening-echo", type_no_amount),
    "applied": State(OPEN, "#opening-outcome .good", send_form),
    "rejected": State(OPEN, "#opening-outcome .bad", send_form, reject),
    "uncertain": State(OPEN, "#opening-outcome .warn", send_form, lose_the_answer),
    "settling": State(OPEN, "#settle-form", prepare=leave_unsettled),
    "phone": State("/", "#accounts .c-ledger >> nth=0", size=PHONE),
    "phone, outage": State("/", "#outage", prepare=bring_down, size=PHONE),
    "phone, account": State(OPEN, "#account-chart svg[role=img]", open_form, size=PHONE),
    "printing": State("/", "#accounts .c-ledger >> nth=0", print_page),
}


@dataclass(frozen=True)
class Board:
    """The page, signed in, at a gateway with fakes."""

    harness: GatewayHarness
    page: Page
    url: str


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def board(browser: Browser) -> AsyncIterator[Board]:
    """One page for all states: each begins with its address."""
    # Few accounts: what axe takes grows with the elements.
    harness = GatewayHarness(
        [
            account(ID, name="Savings EUR", capabilities=frozenset(Capability)),
            account("acct_card", name="Card USD", currency="USD", connector="asset_us"),
            account("acct_operating", name="Operating EUR"),
        ]
    )
    harness.gateway = replace(harness.gateway, watch=WATCH)
    expected = "status of 401|ERR_INTERNET_DISCONNECTED"
    async with (
        run_server(harness.app()) as url,
        open_page(browser, url, expected=expected) as page,
    ):
        yield Board(harness, page, url)


def reset(harness: GatewayHarness) -> None:
    WATCH.is_down = False
    for answers in (
        harness.reads.balance_answers,
        harness.reads.opening_answers,
        harness.reconciler.unsettled,
        harness.writer.results,
    ):
        answers.clear()  # type: ignore[attr-defined]
    harness.reads.opening_answers[ID] = OPENING


@pytest.mark.parametrize("name", STATES)
async def test_axe_finds_nothing_light_and_dark(board: Board, name: str) -> None:
    state, page = STATES[name], board.page
    reset(board.harness)
    state.prepare(board.harness)
    await page.context.set_offline(False)
    await page.emulate_media(media="screen", color_scheme="light")
    width, height = state.size
    await page.set_viewport_size({"width": width, "height": height})
    await page.evaluate("(key) => sessionStorage.setItem('balance-gateway-key', key)", state.key)
    await page.goto(f"{board.url}{state.address}")
    if state.key:
        await expect(page.locator("#status")).to_contain_text("Up to date")
    await state.act(page)
    await expect(page.locator(state.shown).first).to_be_visible()

    light = await find_axe_problems(page)
    await page.emulate_media(color_scheme="dark")
    dark = await find_axe_problems(page, only=("color-contrast", "link-in-text-block"))

    assert (light, dark) == ([], [])
