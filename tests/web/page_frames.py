"""Report how fast the page is with many accounts: ``python -m tests.web.page_frames [COUNT]``.

It starts a sandbox and a gateway with the demo's accounts and as many of the embedded ledger as
are wanted, opens the page in Chromium, scrolls through all rows, and prints times in milliseconds.
Nothing is asserted: the times are those of this machine. CPU times tell more where others use it
too. Light may be called so rarely that some of its accounts have to wait for the next minute.
"""

import asyncio
import json
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from playwright.async_api import CDPSession, Page, Response, expect

from tests.servers import free_port
from tests.system.processes import GatewayClient, Process, run_process, wait_until_ready
from tests.web.browser import open_page, start_browser
from tests.web.many_accounts import find_operation, limit_light, write_many_accounts

COUNT = 10_000
#: Fewer than accounts at Light.
LIGHT_PER_MINUTE = 60
FRAMES = 180
HANG_MS = 180_000

#: Notes when the reader signs in, and when the first rows have been painted after that.
WATCH = """() => {
  addEventListener("submit", () => (window.signedInAt ??= performance.now()), true);
  new MutationObserver((_, observer) => {
    if (!document.querySelector("#accounts a")) return;
    observer.disconnect();
    requestAnimationFrame(() => setTimeout(() => (window.firstRowsAt = performance.now())));
  }).observe(document.getElementById("accounts"), { childList: true });
}"""

#: Scrolls so many pixels in each frame, and returns the sorted lengths of the frames.
SCROLL = """([pixels, frames]) => new Promise((done) => {
  const times = [];
  let last = performance.now();
  scrollTo(0, 0);
  const step = (now) => {
    times.push(now - last);
    last = now;
    if (times.length > frames) return done(times.slice(1).sort((a, b) => a - b));
    scrollTo(0, pixels * times.length);
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
})"""


def read_cpu_ms(process: Process) -> int:
    """Return the CPU time that a process has used."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 1000 // os.sysconf("SC_CLK_TCK")


class Measurement:
    """The report on one page.

    Args:
        page: on the form to sign in.
        cdp: a session with the page's process, with its metrics in CPU time.
        gateway: a client of the gateway.
        process: of the gateway.
    """

    def __init__(
        self, page: Page, cdp: CDPSession, gateway: GatewayClient, process: Process
    ) -> None:
        self._page, self._cdp, self._gateway, self._process = page, cdp, gateway, process
        self._responses: list[Response] = []
        page.on("response", self._add_response)

    def _add_response(self, response: Response) -> None:
        if "graphql?" in response.url:
            self._responses.append(response)

    async def _read_page_cpu_ms(self) -> float:
        metrics = (await self._cdp.send("Performance.getMetrics"))["metrics"]
        values: dict[str, float] = {each["name"]: each["value"] for each in metrics}
        return values["TaskDuration"] * 1000

    async def measure(self) -> dict[str, Any]:
        """Sign in, wait for all figures, scroll, find and refresh; return the times."""
        loading = await self._measure_loading()
        clock = asyncio.get_running_loop().time
        height = await self._page.evaluate("document.documentElement.scrollHeight - innerHeight")
        report = {
            **loading,
            "scrolling as by a wheel": await self._measure_frames(250),
            "scrolling through all rows in 180 frames": await self._measure_frames(height / FRAMES),
            "rows in the document": await self._page.locator("#accounts tr").count(),
        }
        await self._page.evaluate("scrollTo(0, 0)")
        began = clock()
        await self._page.fill("#find", "till-00001")
        await expect(self._page.locator("#count")).to_contain_text("1 of ")
        report["find"] = round((clock() - began) * 1000)
        await self._page.fill("#find", "light-")
        # What waits is asked again by itself.
        await expect(self._find_waiting()).to_have_count(0, timeout=HANG_MS)
        report["no account of Light waits, after s"] = round(clock() - self._began)
        self._responses.clear()
        began = clock()
        await self._page.click("#refresh")
        await expect(self._page.locator("#refresh")).to_be_enabled(timeout=HANG_MS)
        report["refresh"] = round((clock() - began) * 1000)
        report["refresh: answers by status"] = Counter(each.status for each in self._responses)
        report["calls to the providers"] = self._gateway.count_calls()
        return report

    def _find_waiting(self) -> Any:
        return self._page.locator("#accounts .chip.wait")

    async def _measure_loading(self) -> dict[str, Any]:
        page, clock = self._page, asyncio.get_running_loop().time
        await page.evaluate(WATCH)
        await page.fill("#key", self._gateway.key)
        page_cpu, gateway_cpu = await self._read_page_cpu_ms(), read_cpu_ms(self._process)
        self._began = clock()
        await page.click("#sign-in button")
        await page.locator("#accounts a").first.wait_for()
        page_cpu_first, gateway_cpu_first = (
            await self._read_page_cpu_ms(),
            read_cpu_ms(self._process),
        )
        await expect(page.locator("#status")).to_contain_text("Up to date", timeout=HANG_MS)
        all_figures = clock() - self._began
        urls = [each.url for each in self._responses]
        return {
            "first rows": round(await page.evaluate("firstRowsAt - signedInAt")),
            "first rows: CPU of the page": round(page_cpu_first - page_cpu),
            "first rows: CPU of the gateway": gateway_cpu_first - gateway_cpu,
            "all figures": round(all_figures * 1000),
            "all figures: CPU of the page": round(await self._read_page_cpu_ms() - page_cpu),
            "all figures: CPU of the gateway": read_cpu_ms(self._process) - gateway_cpu,
            "queries": Counter(map(find_operation, self._responses)),
            "queries asked twice": len(urls) - len(set(urls)),
        }

    async def _measure_frames(self, pixels: float) -> dict[str, float]:
        before = await self._read_page_cpu_ms()
        frames: list[float] = await self._page.evaluate(SCROLL, [pixels, FRAMES])
        cpu = await self._read_page_cpu_ms() - before
        shares = {"p50": 0.5, "p95": 0.95, "worst": 1.0}
        times = {name: frames[int(share * (len(frames) - 1))] for name, share in shares.items()}
        return {name: round(each, 1) for name, each in times.items()} | {
            "CPU of the page": round(cpu / len(frames), 1)
        }


async def main(count: int) -> None:
    """Run the report."""
    with tempfile.TemporaryDirectory() as folder:
        ports = free_port(), free_port()
        sandbox_url, url = (f"http://127.0.0.1:{port}" for port in ports)
        files = write_many_accounts(Path(folder), sandbox_url, count)
        limit_light(files, LIGHT_PER_MINUTE)
        with (
            run_process("sandbox", "--port", str(ports[0])) as sandbox,
            run_process("serve", "--config", str(files.config_path), "--port", str(ports[1])) as it,
        ):
            wait_until_ready(sandbox_url, sandbox, 60, "_control/clock")
            wait_until_ready(url, it, timeout_s=120)
            gateway = GatewayClient(url, sandbox_url, files.read_key)
            async with start_browser() as browser, open_page(browser, url) as page:
                cdp = await page.context.new_cdp_session(page)
                await cdp.send("Performance.enable", {"timeDomain": "threadTicks"})
                report = await Measurement(page, cdp, gateway, it).measure()
    print(json.dumps({"accounts": count, **report}, indent=2))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else COUNT))
