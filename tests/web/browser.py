"""A real browser for the tests of pages: Chromium, driven by its debugging pipe."""

import asyncio
import fcntl
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium")

#: Seconds until a browser that does not answer fails the test.
HANG_S = 60
#: Above the descriptors 3 and 4, from which Chromium reads and to which it writes.
_DESCRIPTOR_MIN = 20
_MESSAGE_BYTES_MAX = 64 * 1024 * 1024


class Page:
    """One page of the browser.

    Attributes:
        problems: exceptions and console errors of the page.
    """

    def __init__(self, reader: asyncio.StreamReader, descriptor: int) -> None:
        self._reader = reader
        self._descriptor = descriptor
        self._session: dict[str, str] = {}
        self._number = 0
        self.problems: list[str] = []

    async def attach(self) -> None:
        """Open a new page, and follow its exceptions and logged errors."""
        target = await self.call("Target.createTarget", url="about:blank")
        found = {"targetId": target["targetId"], "flatten": True}
        attached = await self.call("Target.attachToTarget", **found)
        self._session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Runtime", "Log"):
            await self.call(f"{domain}.enable")

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the debugging protocol, and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters, **self._session}
        os.write(self._descriptor, json.dumps(message).encode() + b"\0")
        while True:
            received = await asyncio.wait_for(self._reader.readuntil(b"\0"), HANG_S)
            answer = json.loads(received[:-1])
            self._note_problem(answer)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    async def set_width(self, width: int) -> None:
        """Set the width of the window, in CSS pixels."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=False,
        )

    async def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression; a promise is awaited."""
        result = await self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def wait_until(self, condition: str) -> None:
        """Wait until a JavaScript condition is true."""
        polling = f"const poll = () => ({condition}) ? done() : setTimeout(poll, 10); poll();"
        await self.evaluate(f"new Promise((done) => {{ {polling} }})")

    def _note_problem(self, answer: dict[str, Any]) -> None:
        if answer.get("method") == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(answer["params"]["exceptionDetails"]))
        if (
            answer.get("method") == "Log.entryAdded"
            and answer["params"]["entry"]["level"] == "error"
        ):
            self.problems.append(answer["params"]["entry"]["text"])


@asynccontextmanager
async def open_page(folder: Path) -> AsyncIterator[Page]:
    """Start a browser with its profile in the folder, and yield an empty page."""
    assert CHROMIUM is not None
    pipes = [*os.pipe(), *os.pipe()]
    try:
        reads, writes = (fcntl.fcntl(pipes[n], fcntl.F_DUPFD, _DESCRIPTOR_MIN) for n in (0, 3))
        process = await asyncio.create_subprocess_exec(
            "bash", "-c", f'exec "$@" 3<&{reads} 4>&{writes}', "bash", CHROMIUM, "--headless",
            "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--remote-debugging-pipe", f"--user-data-dir={folder}",
            pass_fds=(reads, writes),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        for descriptor in (reads, writes, pipes.pop(3), pipes.pop(0)):
            os.close(descriptor)
        to_browser, from_browser = pipes
        reader = asyncio.StreamReader(limit=_MESSAGE_BYTES_MAX)
        file = os.fdopen(from_browser, "rb")
        pipes.remove(from_browser)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), file
        )
        try:
            page = Page(reader, to_browser)
            await page.attach()
            yield page
        finally:
            transport.close()
            process.terminate()
            await process.wait()
    finally:
        for descriptor in pipes:
            os.close(descriptor)
