"""Watches the demo's process (memory, descriptors) and the calls that reach its sandbox."""

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
_SETTLED = 5


@dataclass(frozen=True, slots=True)
class Sample:
    """The process at one instant."""

    at_s: float
    rss_mb: float
    descriptors: int


@dataclass(slots=True)
class Upstream:
    """The calls that arrived at the sandbox, tokens aside.

    Attributes:
        at_s: when, by provider and credential.
        unseen: calls that fell between reading the log and clearing it.
    """

    at_s: dict[str, list[float]] = field(default_factory=dict)
    unseen: int = 0
    _last: int = 0

    async def read(self, control: httpx.AsyncClient) -> None:
        """Takes the log in and clears it, so that the sandbox's memory stays small."""
        response = await control.get("requests")
        await control.delete("requests")
        for record in response.json()["requests"]:
            self.unseen += record["number"] - self._last - 1
            self._last = record["number"]
            if "token" not in record["path"]:
                at_s = datetime.fromisoformat(record["at"]).timestamp()
                who = f"{record['provider']} ({record['credential'] or 'no credential'})"
                self.at_s.setdefault(who, []).append(at_s)

    def most(self, who: str, window_s: float) -> int:
        """The most calls of a credential in any window of so many seconds."""
        return most_within(sorted(self.at_s[who]), window_s)


def most_within(times_s: list[float], window_s: float) -> int:
    """How many of the ascending times lie in the fullest window."""
    most = first = 0
    for place, at_s in enumerate(times_s):
        while times_s[first] <= at_s - window_s:
            first += 1
        most = max(most, place - first + 1)
    return most


class Watch:
    """Samples until it is told to stop.

    Args:
        pid: the demo's.
        sandbox_url: its sandbox's.
    """

    def __init__(self, pid: int, sandbox_url: str) -> None:
        self._pid = pid
        self._sandbox_url = sandbox_url
        self._started_s = time.monotonic()
        self.samples: list[Sample] = []
        self.upstream = Upstream()
        self.sample()

    async def run(self, stop: asyncio.Event) -> None:
        """Samples the process every second and the sandbox's log every few."""
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
        """Takes one sample now."""
        now = Sample(
            time.monotonic() - self._started_s,
            machine.memory_mb(self._pid),
            machine.descriptors(self._pid),
        )
        self.samples.append(now)
        return now

    def around(self, at_s: float) -> Sample:
        """The medians of the few samples up to an instant."""
        return _median([one for one in self.samples if one.at_s <= at_s][-_SETTLED:])


def _median(samples: Iterable[Sample]) -> Sample:
    chosen = list(samples)
    return Sample(
        chosen[-1].at_s,
        statistics.median(one.rss_mb for one in chosen),
        int(statistics.median(one.descriptors for one in chosen)),
    )
