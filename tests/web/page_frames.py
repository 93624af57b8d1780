"""Report how fast the page is with many accounts: ``python -m tests.web.page_frames [COUNT]``.

It starts a gateway with accounts of the embedded ledger, opens the page in Chromium, scrolls
through all rows, and prints times in milliseconds. Nothing is asserted: the times are those of
this machine.
"""

import asyncio
import json
import socket
import sys
import tempfile
from pathlib import Path

from playwright.async_api import Page, expect

from tests.system.processes import run_process, wait_until_ready
from tests.web.browser import open_page, start_browser

COUNT = 10_000
KEY = "a-key-of-the-page-frames-report"

#: Scrolls from the top to the end in steps of one frame, and returns the sorted lengths of frames.
SCROLL = """() => new Promise((done) => {
  const times = [];
  const [steps, height] = [180, document.documentElement.scrollHeight - innerHeight];
  let last = performance.now();
  const step = (now) => {
    times.push(now - last);
    last = now;
    if (times.length > steps) return done(times.slice(1).sort((a, b) => a - b));
    scrollTo(0, (height * times.length) / steps);
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
})"""


def write_configuration(directory: Path, count: int) -> Path:
    """Write a configuration with accounts of the embedded ledger."""
    head = [
        f'[storage]\nurl = "sqlite:///{directory / "gateway.db"}"',
        f'[[auth.api_keys]]\nname = "reader"\ntenant = "acme"\nkey = "file:{directory / "key"}"'
        '\nscopes = ["balances:read"]',
        '[connectors.local]\nprovider = "local"',
    ]
    accounts = [
        f'[[accounts]]\nid = "acct-{n:05}"\ntenant = "acme"\nconnector = "local"'
        f'\nname = "Account {n}"\ncurrency = "{("EUR", "USD", "JPY")[n % 3]}"'
        '\nnormal_balance = "debit"'
        for n in range(count)
    ]
    (directory / "key").write_text(KEY)
    path = directory / "gateway.toml"
    path.write_text("\n\n".join([*head, *accounts]) + "\n")
    return path


def find_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


async def measure(page: Page, count: int) -> dict[str, object]:
    """Sign in, wait for all figures, scroll, find and refresh; return the times."""
    clock = asyncio.get_running_loop().time
    times: dict[str, object] = {"accounts": count}
    await page.fill("#key", KEY)
    began = clock()
    await page.click("#sign-in button")
    await page.locator("#accounts a").first.wait_for()
    times["first rows"] = round((clock() - began) * 1000)
    await expect(page.locator("#status")).to_contain_text("Up to date", timeout=120_000)
    times["all figures"] = round((clock() - began) * 1000)
    frames: list[float] = await page.evaluate(SCROLL)
    for name, share in (("p50", 0.5), ("p95", 0.95), ("worst", 1)):
        times[f"frame {name}"] = round(frames[int(share * (len(frames) - 1))], 1)
    times["rows in the document"] = await page.locator("#accounts tr").count()
    await page.evaluate("scrollTo(0, 0)")
    began = clock()
    await page.fill("#find", f"acct-{count - 1:05}")
    await expect(page.locator("#count")).to_contain_text(f"1 of {count:,}")
    times["find"] = round((clock() - began) * 1000)
    began = clock()
    await page.click("#refresh")
    await expect(page.locator("#refresh")).to_be_enabled(timeout=60_000)
    times["refresh, nothing changed"] = round((clock() - began) * 1000)
    return times


async def main(count: int) -> None:
    """Run the report."""
    with tempfile.TemporaryDirectory() as folder:
        path, port = write_configuration(Path(folder), count), find_port()
        url = f"http://127.0.0.1:{port}"
        with run_process("serve", "--config", str(path), "--port", str(port)) as started:
            wait_until_ready(url, started, timeout_s=120)
            async with start_browser() as browser, open_page(browser, f"{url}/?every=0") as page:
                print(json.dumps(await measure(page, count), indent=2))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else COUNT))
