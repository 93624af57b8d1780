"""The report of the soak test: its measurements, and the failures among them."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.soak.counters import Counters
from benchmarks.soak.process_monitor import ProcessMonitor, Sample

#: How much memory may grow after the warm-up: through fragmentation, and temporarily after faults.
GROWTH_SHARE = 0.10
GROWTH_MB = 8.0

#: How many more descriptors than at the start may be open when the clients have disconnected: 32
#: idle connections to each of three providers, with both ends in the one process of the demo.
EXTRA_DESCRIPTORS_MAX = 200

#: The documented limits of calls with one credential in any 60 seconds, by provider.
PER_MINUTE = {"light": 300, "asset": 300, "layer": 6_000}

#: How long recovery may take, in seconds: a circuit breaker's longest pause, and a margin.
RECOVERY_S = 45.0


@dataclass(frozen=True, slots=True)
class SoakReport:
    """The measurements of one soak test.

    Attributes:
        seconds: duration of the load.
        counters: requests and responses of the clients.
        monitor: samples of the process, and calls to the sandbox.
        start: the process before the load.
        warm: the process after the warm-up.
        end: the process at the end of the load.
        after: the process after the clients have disconnected.
        faults: injected faults, by kind.
        recovery_s: seconds until no provider was unavailable any more; None: too long.
        log: lines that the demo wrote to stderr.
    """

    seconds: float
    counters: Counters
    monitor: ProcessMonitor
    start: Sample
    warm: Sample
    end: Sample
    after: Sample
    faults: Mapping[str, int]
    recovery_s: float | None
    log: list[str]

    def list_failures(self) -> list[str]:
        """Describe everything that makes the soak test fail."""
        counters = self.counters
        failures = [f"no response: {each}" for each in counters.failed[:5]]
        failures += [f"INTERNAL: {each}" for each in counters.internal[:5]]
        failures += [f"wrong: {each}" for each in counters.wrong[:5]]
        failures += [f"log: {line}" for line in self.log if "Traceback" in line][:5]
        if self.recovery_s is None:
            failures.append(f"providers were still unavailable after {RECOVERY_S:g} s")
        limit_mb = get_memory_limit_mb(self.warm.rss_mb)
        # Only memory that remains counts; an endless body that is being read does not.
        if self.after.rss_mb > limit_mb:
            grown = f"{self.warm.rss_mb:.1f} to {self.after.rss_mb:.1f} MB"
            failures.append(f"memory grew from {grown}, above the limit of {limit_mb:.1f}")
        if self.after.descriptors > self.start.descriptors + EXTRA_DESCRIPTORS_MAX:
            grown = f"{self.start.descriptors} to {self.after.descriptors}"
            failures.append(f"open descriptors grew from {grown}")
        for credential in self.monitor.upstream.at_s:
            most = self.monitor.upstream.count_max_calls(credential, 60)
            budget = PER_MINUTE[credential.partition(" ")[0]]
            if most > budget:
                failures.append(f"{credential}: {most} calls in one minute; the limit is {budget}")
        return failures

    def format_text(self) -> str:
        """Format the report."""
        counters = self.counters
        upstream = self.monitor.upstream
        calls = [
            f"  {credential}: {len(times)} calls,"
            f" at most {upstream.count_max_calls(credential, 60)} in a minute"
            f" and {upstream.count_max_calls(credential, 1)} in a second"
            for credential, times in sorted(upstream.at_s.items())
        ]
        limit_mb = get_memory_limit_mb(self.warm.rss_mb)
        peak_mb = max(sample.rss_mb for sample in self.monitor.samples)
        return "\n".join(
            [
                f"requests          {_format_counts(counters.requests)}",
                f"responses         {counters.response_count},"
                f" {counters.response_count / self.seconds:.0f} a second;"
                f" {counters.disconnected} clients disconnected;"
                f" {len(counters.failed)} requests without a response",
                f"HTTP statuses     {_format_counts(counters.statuses)}",
                f"errors by code    {_format_counts(counters.codes)}",
                f"values returned   {_format_counts(counters.freshness)}",
                f"writes            {_format_counts(counters.writes)}",
                f"faults            {_format_counts(self.faults)}",
                f"recovered         {_format_recovery(self.recovery_s)}",
                f"log lines         {len(self.log)}",
                f"upstream calls    (missed: {upstream.missed})",
                *calls,
                f"memory MB         start {self.start.rss_mb:.1f}, warm {self.warm.rss_mb:.1f},"
                f" end {self.end.rss_mb:.1f}, disconnected {self.after.rss_mb:.1f},"
                f" peak {peak_mb:.1f};"
                f" limit {limit_mb:.1f} (warm + {GROWTH_SHARE:.0%} + {GROWTH_MB:g} MB)",
                f"open descriptors  start {self.start.descriptors}, warm {self.warm.descriptors},"
                f" end {self.end.descriptors}, disconnected {self.after.descriptors}",
            ]
        )


def get_memory_limit_mb(warm_mb: float) -> float:
    """Return the largest allowed memory at the end, in MiB."""
    return warm_mb * (1 + GROWTH_SHARE) + GROWTH_MB


def _format_recovery(recovery_s: float | None) -> str:
    return "no" if recovery_s is None else f"{recovery_s:.0f} s after the last fault"


def _format_counts(counts: Mapping[str, int] | Mapping[int, int]) -> str:
    ranked = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {count}" for name, count in ranked) or "none"
