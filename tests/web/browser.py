"""A real browser for the tests of pages: Chromium, driven by Playwright's asynchronous API.

The page's security policy refuses Playwright's ``wait_for_function`` and ``add_script_tag``: tests
wait with ``expect``, and run scripts with ``evaluate``.
"""

import os
import re
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import axe_playwright_python
from playwright.async_api import Browser, Page, async_playwright, expect

#: Playwright drives the distribution's browser, and needs no download of its own.
CHROMIUM = os.environ.get("BALANCE_GATEWAY_CHROMIUM") or shutil.which("chromium")
#: Where a run leaves pictures of the page's main states; None: nowhere. See docs/page.md.
PICTURES = os.environ.get("BALANCE_GATEWAY_PICTURES")

#: Milliseconds until something expected that does not come fails a test.
HANG_MS = 20_000
expect.set_options(timeout=HANG_MS)

_BLANK_BYTES_MAX = 10_000
#: Shows one time of day and one age of seconds, so that pictures of two runs are the same.
_FIX_TIMES = """() => {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const { data } = texts.currentNode;
    const fixed = data.replace(/\\d+:\\d\\d\\s[AP]M/g, "9:41 AM").replace(/\\d+ sec\\b/g, "5 sec");
    if (fixed !== data) texts.currentNode.data = fixed;
  }
}"""

_AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


@asynccontextmanager
async def start_browser() -> AsyncIterator[Browser]:
    """Start a browser."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def open_page(
    browser: Browser, url: str, *, expected: str = "", **context: Any
) -> AsyncIterator[Page]:
    """Open an address in a profile of its own.

    At the end it fails for any console error, exception, refusal of the security policy, or request
    to another host.

    Args:
        browser: the browser.
        url: the address.
        expected: a pattern of console errors that the test provokes, such as a status of 401.
        context: settings of the profile, such as ``viewport`` or ``locale``.
    """
    found: list[str] = []
    host = urlsplit(url).netloc
    settings = {"viewport": {"width": 1280, "height": 860}, "locale": "en-US", **context}
    if PICTURES:
        settings["device_scale_factor"] = 0.7  # small files
    async with await browser.new_context(**settings) as profile:
        page = await profile.new_page()
        page.set_default_timeout(HANG_MS)
        page.on("pageerror", lambda error: found.append(str(error)))
        page.on(
            "console",
            lambda message: (
                found.append(message.text)
                if message.type in ("error", "warning")
                and not (expected and re.search(expected, message.text))
                else None
            ),
        )
        page.on(
            "request",
            lambda request: (
                found.append(request.url)
                if urlsplit(request.url).netloc not in (host, "")
                else None
            ),
        )
        await page.goto(url)
        yield page
        assert found == [], found


async def find_axe_problems(page: Page, *, only: Sequence[str] = ()) -> list[str]:
    """Return what axe finds on the page as it is, as rules with the elements.

    Args:
        page: the page.
        only: the rules to check; empty for all.
    """
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(_AXE)
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if only:
        options["runOnly"] = list(only)
    result = await page.evaluate("(options) => axe.run(document, options)", options)
    return [
        f"{each['id']}: {node['target']} {node.get('failureSummary', '')}"
        for each in result["violations"]
        for node in each["nodes"]
    ]


async def take_picture(page: Page, name: str) -> None:
    """Take a picture of what the window shows, and leave it where a run is asked for pictures."""
    await page.evaluate(_FIX_TIMES)
    picture = await page.screenshot(animations="disabled", caret="hide")
    # One colour alone takes a few kilobytes at most.
    assert len(picture) > _BLANK_BYTES_MAX, f"{name}: nothing is seen"
    if PICTURES:
        (Path(PICTURES) / f"{name}.png").write_bytes(picture)
