"""Requests are counted by status and timed, in plain integers that several processes can share."""

import pytest
from prometheus_client import CollectorRegistry

from balance_gateway.observability.request_metrics import SLOTS, RequestMetrics
from balance_gateway.observability.value_ages import ValueAges


def read(metrics: RequestMetrics, name: str, **labels: str) -> float | None:
    registry = CollectorRegistry()
    registry.register(metrics)
    return registry.get_sample_value(f"balance_gateway_{name}", labels)


def test_requests_are_counted_by_status() -> None:
    metrics = RequestMetrics()
    for status in (200, 200, 401, 599):
        metrics.count(status, 1)

    assert [
        read(metrics, "requests_total", status=status) for status in ("200", "401", "599", "500")
    ] == [2, 1, 1, None]


@pytest.mark.parametrize(
    ("duration_ns", "bound"),
    [(0, "0.0001"), (100_000, "0.0001"), (100_001, "0.0005"), (30 * 10**9, "30.0")],
)
def test_a_duration_is_in_the_bucket_of_its_upper_bound(duration_ns: int, bound: str) -> None:
    metrics = RequestMetrics()
    metrics.count(200, duration_ns)

    histogram = next(family for family in metrics.collect() if family.type == "histogram")
    first = next(sample.labels["le"] for sample in histogram.samples if sample.value == 1)

    assert first == bound
    assert read(metrics, "request_seconds_count") == 1
    assert read(metrics, "request_seconds_sum") == duration_ns / 1e9


def test_a_duration_above_all_bounds_counts_as_well() -> None:
    metrics = RequestMetrics()
    metrics.count(200, 31 * 10**9)

    assert read(metrics, "request_seconds_bucket", le="30.0") == 0
    assert read(metrics, "request_seconds_bucket", le="+Inf") == 1


def test_arrays_of_several_processes_are_added_up() -> None:
    arrays = [[0] * SLOTS, [0] * SLOTS]
    first, second = (RequestMetrics(array, lambda: arrays) for array in arrays)
    first.count(200, 10**9)
    second.count(200, 2 * 10**9)

    assert read(first, "requests_total", status="200") == 2
    assert read(second, "request_seconds_sum") == 3


def test_the_largest_age_of_the_last_two_minutes_is_kept_by_connector() -> None:
    now_s = 6000.0
    ages = ValueAges(lambda: now_s)
    for age_s in (5.0, 40.0, 2.0):
        ages.note("light", age_s)
    ages.note("asset", 1.0)

    shown = []
    for seconds in (0, 119, 121, 200):
        now_s = 6000.0 + seconds
        shown.append((ages.read_largest_s("light"), ages.read_largest_s("asset")))

    assert shown == [(40.0, 1.0), (40.0, 1.0), (0.0, 0.0), (0.0, 0.0)]
