"""Monitors the demo's process (memory, descriptors) and the calls that reach its sandbox."""

import asyncio
import contextlib
import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

import httpx

from benchmarks import machine

SAMPLE_S = 1.0
LOG_EVERY_S = 5.0

#: How many samples a median is built from.
_MEDIAN_SAMPLES = 5


@dataclass(frozen=True, slots=True)
class Sample:
    """The process at one instant, in seconds after the start; memory in MiB."""

    at_s: float
    rss_mb: float
    descriptors: int


@dataclass(slots=True)
class Upstream:
    """The calls that the sandbox received, without requests for access tokens.

    Attributes:
        at_s: times of the calls, by provider and credential.
        missed: calls that arrived between reading the log and clearing it.
    """

    at_s: dict[str, list[float]] = field(default_factory=dict)
    missed: int = 0
    _last_number: int = 0

    async def read(self, control: httpx.AsyncClient) -> None:
        """Read the log and clear it, so that it takes little of the demo's memory."""
        response = await control.get("requests")
        await control.delete("requests")
        for record in response.json()["requests"]:
            self.missed += record["number"] - self._last_number - 1
            self._last_number = record["number"]
            if "token" not in record["path"]:
                at_s = datetime.fromisoformat(record["at"]).timestamp()
                credential = f"{record['provider']} ({record['credential'] or 'no credential'})"
                self.at_s.setdefault(credential, []).append(at_s)

    def count_max_calls(self, credential: str, window_s: float) -> int:
        """Count the calls with a credential in the window with the most calls."""
        return count_max_in_window(sorted(self.at_s[credential]), window_s)


def count_max_in_window(times_s: list[float], window_s: float) -> int:
    """Count the ascending times in the window of ``window_s`` seconds with the most times."""
    most = first = 0
    for index, at_s in enumerate(times_s):
        while times_s[first] <= at_s - window_s:
            first += 1
        most = max(most, index - first + 1)
    return most


class ProcessMonitor:
    """Takes samples of the demo's process and reads the log of its sandbox.

    Args:
        pid: process id of the demo.
        sandbox_url: URL of its sandbox.
    """

    def __init__(self, pid: int, sandbox_url: str) -> None:
        self._pid = pid
        self._sandbox_url = sandbox_url
        self._started_s = time.monotonic()
        self.samples: list[Sample] = []
        self.upstream = Upstream()
        self.sample()

    async def run(self, stop: asyncio.Event) -> None:
        """Sample the process every second and read the log every 5 s, until ``stop`` is set."""
        url = f"{self._sandbox_url}/_control/"
        async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as control:
            next_log_s = 0.0
            while not stop.is_set():
                self.sample()
                if time.monotonic() >= next_log_s:
                    await self.upstream.read(control)
                    next_log_s = time.monotonic() + LOG_EVERY_S
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(SAMPLE_S):
                        await stop.wait()
            await self.upstream.read(control)

    def sample(self) -> Sample:
        """Take one sample now."""
        sample = Sample(
            time.monotonic() - self._started_s,
            machine.get_memory_mb(self._pid),
            machine.count_descriptors(self._pid),
        )
        self.samples.append(sample)
        return sample

    def get_median_before(self, at_s: float) -> Sample:
        """Return the medians of the last samples up to an instant."""
        return _build_median(
            [each for each in self.samples if each.at_s <= at_s][-_MEDIAN_SAMPLES:]
        )


def _build_median(samples: Iterable[Sample]) -> Sample:
    chosen = list(samples)
    return Sample(
        chosen[-1].at_s,
        statistics.median(each.rss_mb for each in chosen),
        int(statistics.median(each.descriptors for each in chosen)),
    )
