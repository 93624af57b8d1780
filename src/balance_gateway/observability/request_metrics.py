"""Count and time requests with plain integers, which cost less than a metric of the library.

The integers are slots of one array. With several workers it is a file that all of them map into
their memory: a scrape of any worker adds up the arrays of all, and a killed worker loses nothing.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

#: Upper bounds of the histogram. A kept response takes less than 0.1 ms.
_BOUNDS_MS = (0.1, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000)
_BOUNDS_NS = tuple(int(bound_ms * 1_000_000) for bound_ms in _BOUNDS_MS)

#: The first slots are counts by HTTP status, then come the histogram's, then the sum.
_BUCKETS = 600
_SUM = _BUCKETS + len(_BOUNDS_NS) + 1
SLOTS = _SUM + 1

#: The status under which a request is counted after its client has disconnected.
DISCONNECTED = 499

Slots = Sequence[int]


class RequestMetrics:
    """The requests to ``/graphql``: their number by status, and a histogram of their duration.

    Args:
        slots: the array of this process, of ``SLOTS`` integers; None: a new one.
        read_all: returns the arrays of all processes; None: there is only this one.
    """

    def __init__(
        self,
        slots: "memoryview[int] | list[int] | None" = None,
        read_all: Callable[[], Iterable[Slots]] | None = None,
    ) -> None:
        self._slots = [0] * SLOTS if slots is None else slots
        self._read_all = read_all or (lambda: [self._slots])

    def count(self, status: int, duration_ns: int) -> None:
        """Count a request.

        Args:
            status: the HTTP status of the response, or ``DISCONNECTED``.
            duration_ns: the time in nanoseconds from the start of its handling until its response
                is complete, and about to be written.
        """
        slots = self._slots
        slots[status] += 1
        slots[_BUCKETS + bisect_left(_BOUNDS_NS, duration_ns)] += 1
        slots[_SUM] += duration_ns

    def collect(self) -> Iterable[Metric]:
        """Return the metrics of all processes together; called by a Prometheus registry."""
        totals = [sum(slot) for slot in zip(*self._read_all(), strict=True)]
        by_status = CounterMetricFamily(
            "balance_gateway_requests", "Requests to /graphql, by HTTP status.", labels=["status"]
        )
        for status, count in enumerate(totals[:_BUCKETS]):
            if count:
                by_status.add_metric([str(status)], count)
        yield by_status
        buckets: list[tuple[str, float]] = []
        reached = 0
        for bound_ns, count in zip([*_BOUNDS_NS, None], totals[_BUCKETS:_SUM], strict=True):
            reached += count
            buckets.append(("+Inf" if bound_ns is None else str(bound_ns / 1e9), reached))
        yield HistogramMetricFamily(
            "balance_gateway_request_seconds",
            "Duration of requests to /graphql, in seconds.",
            buckets=buckets,
            sum_value=totals[_SUM] / 1e9,
        )
