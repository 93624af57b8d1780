"""The page in a browser on two replicas with one Redis, one PostgreSQL and 1,300 accounts."""

import csv
import io
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, Response, expect

from tests.servers import free_port, redis_server, run_postgresql
from tests.system.processes import GatewayClient, run_process, wait_until_ready
from tests.web.browser import open_page
from tests.web.many_accounts import find_operation, limit_light, write_many_accounts

pytestmark = pytest.mark.asyncio(loop_scope="session")

#: All accounts, and those of the embedded ledger, which are more than one page of figures.
COUNT, OWN, PAGE = 1_300, 1_148, 1_000

WRITE = """mutation ($id: ID!, $amount: Decimal!) { upsertOpeningBalance(input: {
  accountId: $id, effectiveAt: "2026-01-01T00:00:00Z",
  amount: {amount: $amount, currency: "EUR"}}) {
    __typename ... on OpeningBalanceRejected { code message } } }"""
BANK = "query ($id: ID!) { bankAccount(id: $id) { balance { bank { amount } } } }"
BUSY = {"kind": "status", "status": 429, "provider": "light", "times": None, "retry_after_s": 1}

#: The texts of the cells of every row, the whole table laid out as for printing.
CELLS = """() => {
  dispatchEvent(new Event("beforeprint"));
  const rows = [...document.querySelectorAll("#accounts tr[data-key]:not(.subtotal)")];
  const cells = rows.map((row) => [...row.children].map((cell) => cell.innerText));
  dispatchEvent(new Event("afterprint"));
  return cells;
}"""


@pytest.fixture(scope="module")
def replicas(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[GatewayClient, GatewayClient]]:
    folder: Path = tmp_path_factory.mktemp("replicas")
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server(tmp_path_factory.mktemp("redis")))
        postgresql = stack.enter_context(run_postgresql())
        port = free_port()
        sandbox_url = f"http://127.0.0.1:{port}"
        sandbox = stack.enter_context(run_process("sandbox", "--port", str(port)))
        files = write_many_accounts(
            folder, sandbox_url, COUNT, storage_url=postgresql.get_uri(), cache_url=redis.url
        )
        wait_until_ready(sandbox_url, sandbox, path="_control/clock")
        # The tests read all accounts of Light again and again.
        unlimited = GatewayClient("", sandbox_url, "")
        unlimited.control("PUT", "options", {"limits": {"light_per_minute": None}})
        limit_light(files, 100_000)
        gateways = []
        for _ in range(2):
            port = free_port()
            arguments = ("serve", "--config", str(files.config_path), "--port", str(port))
            started = stack.enter_context(run_process(*arguments))
            url = f"http://127.0.0.1:{port}"
            wait_until_ready(url, started)
            gateways.append(GatewayClient(url, sandbox_url, files.admin_key))
        yield gateways[0], gateways[1]


@asynccontextmanager
async def sign_in(browser: Browser, gateway: GatewayClient, address: str) -> AsyncIterator[Page]:
    """Open the page, signed in, with the names of all accounts."""
    async with open_page(browser, f"{gateway.url}{address}") as page:
        await page.fill("#key", gateway.key)
        await page.click("#sign-in button")
        await expect(page.locator("#accounts a").first).to_be_visible()
        yield page


async def wait_for_figures(page: Page) -> None:
    await expect(page.locator("#status")).to_contain_text("Up to date")
    await expect(page.locator("#refresh")).to_be_enabled()


async def test_a_poll_shows_what_was_written_through_the_other_replica(
    browser: Browser, replicas: tuple[GatewayClient, GatewayClient]
) -> None:
    one, other = replicas
    accounts = ("light-operating-eur", "local-petty-cash")
    async with sign_in(browser, one, "/?find=light-operating-eur&every=10") as page:
        await wait_for_figures(page)
        answers: list[tuple[str, int]] = []
        await page.clock.install()

        async def poll() -> set[tuple[str, int]]:
            answers.clear()
            await page.clock.run_for(10_100)
            await expect(page.locator("#refresh")).to_be_enabled()
            return set(answers)

        await page.click("#refresh")
        await wait_for_figures(page)
        page.on(
            "response",
            lambda each: (
                answers.append((find_operation(each), each.status))
                if "graphql?" in each.url
                else None
            ),
        )
        await poll()
        unchanged = await poll()

        for amount in ("1001.25", "-2002.50"):
            for account in accounts:
                written = other.data(WRITE, id=account, amount=amount)["upsertOpeningBalance"]
                assert written == {"__typename": "OpeningBalanceApplied"}
                bank = other.data(BANK, id=account)["bankAccount"]["balance"]["bank"]["amount"]
                operation = "Accounts LOCAL" if account.startswith("local") else "Accounts"

                seen = await poll()

                assert (operation, 304) not in seen
                assert {(operation, 200), ("Summary", 200)} <= seen
                await page.fill("#find", account)
                cell = page.locator(f'#accounts tr[data-key="{account}"] .c-bank')
                await expect(cell).to_have_text(f"{float(bank):,.2f}")
        await poll()
        unchanged_again = await poll()

    later = "Accounts LOCAL (later page)"
    same = {(each, 304) for each in ("Accounts", "Accounts LOCAL", later, "Summary")}
    assert unchanged == unchanged_again == same


async def test_rows_near_the_window_are_built_and_waiting_ones_fill(
    browser: Browser, replicas: tuple[GatewayClient, GatewayClient]
) -> None:
    gateway = replicas[0]
    # No figure of this day is known; the provider refuses calls for its limit.
    gateway.control("POST", "faults", BUSY)
    try:
        async with sign_in(browser, gateway, "/?as-of=2026-03-31") as page:
            await wait_for_figures(page)
            rows = page.locator("#accounts tr[data-key]")
            assert await rows.count() < 60
            await expect(page.locator("#table")).to_have_attribute("aria-rowcount", str(COUNT + 1))
            await page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
            await expect(page.locator('tr[data-key="till-01143"]')).to_be_visible()
            assert await rows.count() < 60

            await page.fill("#find", "light-")
            waiting = page.locator("#accounts .c-age", has_text="Waiting…")
            await expect(waiting.first).to_be_visible()
            assert (
                await waiting.count()
                == await rows.count() - await page.locator("#accounts .subtotal").count()
            )
            await page.clock.install()
            await page.click("#refresh")
            await wait_for_figures(page)
            gateway.control("DELETE", "faults")
            for _ in range(10):
                await page.clock.run_for(10_100)
                await wait_for_figures(page)
                if not await waiting.count():
                    break
                await page.wait_for_timeout(200)
            await expect(waiting).to_have_count(0)
            await expect(rows.first.locator(".c-ledger")).to_contain_text(re.compile(r"\d"))
    finally:
        gateway.control("DELETE", "faults")


async def test_the_first_view_of_many_accounts_asks_each_query_once(
    browser: Browser, replicas: tuple[GatewayClient, GatewayClient]
) -> None:
    async with open_page(browser, f"{replicas[1].url}/?every=0") as page:
        asked: list[Response] = []
        page.on("response", lambda each: asked.append(each) if "graphql?" in each.url else None)
        await page.fill("#key", replicas[1].key)
        await page.click("#sign-in button")
        await wait_for_figures(page)

    urls = [each.url for each in asked]
    assert len(set(urls)) == len(urls)
    assert Counter(map(find_operation, asked)) == {
        "Session": 1,
        "List": 1,
        "Accounts LOCAL": 1,
        "Accounts LOCAL (later page)": (OWN - 1) // PAGE,
        "Accounts": 1,
        "Summary": 1,
        "Openings": 1,
        "Openings (later page)": (COUNT - 1) // PAGE,
    }


def assert_same_amount(shown: str, amount: str) -> None:
    """Fail unless a cell shows an amount, or a word where there is none."""
    first = shown.split("\n", maxsplit=1)[0].replace(",", "")
    assert first == amount if amount else first and not re.search(r"\d", first)


async def test_the_csv_of_all_accounts_has_every_figure_of_the_table(
    browser: Browser, replicas: tuple[GatewayClient, GatewayClient]
) -> None:
    async with sign_in(browser, replicas[0], "/?sort=-difference&every=0") as page:
        await wait_for_figures(page)
        async with page.expect_download() as started:
            await page.click("#csv")
        text = (await (await started.value).path()).read_text(encoding="utf-8-sig")
        cells: list[list[str]] = await page.evaluate(CELLS)
    rows = list(csv.DictReader(io.StringIO(text, newline="")))

    assert len(rows) == len(cells) == COUNT
    for row, shown in zip(rows, cells, strict=True):
        name, provider, currency, bank, ledger, difference, opening, age = shown
        assert name.split("\n") == [row["name"], row["id"]]
        assert provider.lower().startswith(row["provider"].lower().replace("local", "embedded"))
        assert currency == row["currency"]
        assert_same_amount(bank, row["bank"])
        assert_same_amount(ledger, row["ledger"])
        assert_same_amount(difference, row["difference"])
        assert_same_amount(opening, row["opening_balance"])
        assert bool(row["bank"]) != bool(row["bank_missing"])
        assert row["as_of"][:4] in age
    assert {row["provider"] for row in rows} == {"LIGHT", "ASSET", "LAYER", "LOCAL"}


def extract_text(path: Path) -> str:
    """Return the text of a PDF."""
    if shutil.which("pdftotext") is None:
        pytest.skip("no pdftotext on PATH: install poppler-utils")
    command = ["pdftotext", "-layout", str(path), "-"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


async def test_a_printed_list_has_each_amount_of_each_column_whole(
    browser: Browser, replicas: tuple[GatewayClient, GatewayClient], tmp_path: Path
) -> None:
    path = tmp_path / "page.pdf"
    async with sign_in(browser, replicas[0], "/?find=usd&every=0") as page:
        await wait_for_figures(page)
        cells: list[list[str]] = await page.evaluate(CELLS)
        await page.pdf(path=path, prefer_css_page_size=True)
    printed = Counter(extract_text(path).split())
    amounts = Counter(
        text for row in cells for cell in row[3:7] for text in cell.split("\n")[:1]
        if re.search(r"\d", text)
    )  # fmt: skip

    assert len(cells) > 100
    assert sum(amounts.values()) > 200
    # As whole words: 5.00 is not in 15.00.
    assert amounts - printed == Counter()
