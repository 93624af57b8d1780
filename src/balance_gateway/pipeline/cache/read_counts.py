"""Count reads by their source, and note how old their values are."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from balance_gateway.observability.metrics import Metrics
from balance_gateway.pipeline.cache.cache_entry_rules import CachedRead, ReadResult
from balance_gateway.ports.reads import Observed


def count_reads(
    metrics: Metrics,
    reads: Sequence[CachedRead],
    results: Sequence[ReadResult | None],
    now: datetime,
) -> None:
    """Count the results of reads, which are in the same order."""
    counts: Counter[tuple[str, str]] = Counter()
    for read, result in zip(reads, results, strict=True):
        state = "failed"
        if isinstance(result, Observed):
            state = result.state.value
            age_s = (now - result.observed_at).total_seconds()
            metrics.ages.note(read.account.connector, age_s)
        counts[read.kind.value, state] += 1
    for (kind, state), count in counts.items():
        metrics.reads.labels(kind, state).inc(count)
