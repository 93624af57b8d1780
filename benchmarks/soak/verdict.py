"""Prints what a soak found, and says what of it is a failure."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.soak.tally import Tally
from benchmarks.soak.watch import Sample, Watch

#: Memory may grow by so much once it is warm: fragmentation, and what faults leave for a while.
GROWTH_SHARE = 0.10
GROWTH_MB = 8.0

#: Descriptors that may be left when the clients have gone: 32 idle connections to each of three
#: providers, with both ends in this one process.
LEFT_DESCRIPTORS = 200

#: Calls with one credential in any 60 seconds, as the providers document them.
PER_MINUTE = {"light": 300, "asset": 300, "layer": 6_000}

#: A breaker's longest pause, and some more.
RECOVERY_S = 45.0


@dataclass(frozen=True, slots=True)
class Finding:
    """Everything that a soak brought.

    Attributes:
        seconds: that it took.
        tally: what the clients saw.
        watch: what was seen of process and sandbox.
        start: the process before the load.
        warm: once its caches were full.
        end: at the load's end.
        after: when the clients had gone.
        faults: set, by kind.
        recovery_s: until providers that are well again were asked again; None: too long.
        log: lines that the demo wrote to stderr.
    """

    seconds: float
    tally: Tally
    watch: Watch
    start: Sample
    warm: Sample
    end: Sample
    after: Sample
    faults: Mapping[str, int]
    recovery_s: float | None
    log: list[str]

    def failures(self) -> list[str]:
        """What must not be."""
        tally = self.tally
        failures = [f"unanswered: {one}" for one in tally.unanswered[:5]]
        failures += [f"INTERNAL: {one}" for one in tally.internal[:5]]
        failures += [f"wrong: {one}" for one in tally.wrong[:5]]
        failures += [f"log: {line}" for line in self.log if "Traceback" in line][:5]
        if self.recovery_s is None:
            failures.append(f"providers still counted as down after {RECOVERY_S:g} s")
        bound_mb = memory_bound_mb(self.warm.rss_mb)
        # A body without end that is being read is no growth: what stays is.
        if self.after.rss_mb > bound_mb:
            grown = f"{self.warm.rss_mb:.1f} to {self.after.rss_mb:.1f} MB"
            failures.append(f"memory grew from {grown}, beyond {bound_mb:.1f}")
        if self.after.descriptors > self.start.descriptors + LEFT_DESCRIPTORS:
            grown = f"{self.start.descriptors} to {self.after.descriptors}"
            failures.append(f"open descriptors grew from {grown}")
        for who in self.watch.upstream.at_s:
            most = self.watch.upstream.most(who, 60)
            budget = PER_MINUTE[who.partition(" ")[0]]
            if most > budget:
                failures.append(f"{who}: {most} calls in one minute, of {budget}")
        return failures

    def text(self) -> str:
        """The whole report."""
        tally = self.tally
        upstream = self.watch.upstream
        calls = [
            f"  {who}: {len(times)} calls, at most {upstream.most(who, 60)} in a minute"
            f" and {upstream.most(who, 1)} in a second"
            for who, times in sorted(upstream.at_s.items())
        ]
        bound_mb = memory_bound_mb(self.warm.rss_mb)
        peak_mb = max(sample.rss_mb for sample in self.watch.samples)
        return "\n".join(
            [
                f"requests          {_counts(tally.requests)}",
                f"answers           {tally.answered}, {tally.answered / self.seconds:.0f} a second;"
                f" {tally.gone} clients went away; {len(tally.unanswered)} without an answer",
                f"HTTP statuses     {_counts(tally.statuses)}",
                f"errors by code    {_counts(tally.codes)}",
                f"values served     {_counts(tally.freshness)}",
                f"writes            {_counts(tally.writes)}",
                f"faults            {_counts(self.faults)}",
                f"recovered         {_recovered(self.recovery_s)}",
                f"log lines         {len(self.log)}",
                f"upstream calls    (unseen: {upstream.unseen})",
                *calls,
                f"memory MB         start {self.start.rss_mb:.1f}, warm {self.warm.rss_mb:.1f},"
                f" end {self.end.rss_mb:.1f}, clients gone {self.after.rss_mb:.1f},"
                f" peak {peak_mb:.1f};"
                f" bound {bound_mb:.1f} (warm + {GROWTH_SHARE:.0%} + {GROWTH_MB:g} MB)",
                f"open descriptors  start {self.start.descriptors}, warm {self.warm.descriptors},"
                f" end {self.end.descriptors}, clients gone {self.after.descriptors}",
            ]
        )


def memory_bound_mb(warm_mb: float) -> float:
    """What memory may be at the end."""
    return warm_mb * (1 + GROWTH_SHARE) + GROWTH_MB


def _recovered(recovery_s: float | None) -> str:
    return "no" if recovery_s is None else f"{recovery_s:.0f} s after the last fault"


def _counts(counts: Mapping[str, int] | Mapping[int, int]) -> str:
    ranked = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {count}" for name, count in ranked) or "none"
