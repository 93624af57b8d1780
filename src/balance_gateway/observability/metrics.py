"""Defines the Prometheus metrics served at ``/metrics``. All names start with balance_gateway_."""

import asyncio
import math
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import Metric

from balance_gateway import __version__
from balance_gateway.observability.request_metrics import RequestMetrics
from balance_gateway.observability.shared_metrics import SharedMetrics
from balance_gateway.observability.value_ages import ValueAges

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

#: Interval in seconds at which a worker writes its gauges for the scrapes of other workers.
GAUGE_INTERVAL_S = 1.0


class Metrics:
    """All metrics of one process, in a registry of their own.

    Args:
        shared: the files that this worker shares with the others; None: it is the only process.

    Attributes:
        registry: the metrics of this process.
        scraped: the registry that ``/metrics`` renders: the metrics of all workers together.
        requests: counts and times the requests to ``/graphql``.
        ages: the ages of returned values, which ``oldest_value_seconds`` shows.
    """

    def __init__(self, shared: SharedMetrics | None = None) -> None:
        self._shared = shared
        self._watched: dict[tuple[Gauge, str | None], Callable[[], float]] = {}
        self._config_version: str | None = None
        self.registry = self.scraped = CollectorRegistry()
        if shared is None:
            self.requests = RequestMetrics()
        else:
            shared.share()
            self.requests = RequestMetrics(shared.open_slots(), shared.read_all_slots)
            self.scraped = CollectorRegistry()
            self.scraped.register(self)
        self.scraped.register(self.requests)
        self.ages = ValueAges()
        self.upstream_calls = Counter(
            "balance_gateway_upstream_calls",
            "HTTP exchanges with providers: ok, redirected, refused, cancelled or a code.",
            ["connector", "operation", "outcome"],
            registry=self.registry,
        )
        self.upstream_seconds = Histogram(
            "balance_gateway_upstream_seconds",
            "Duration of HTTP exchanges with providers, in seconds.",
            ["connector"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.reads = Counter(
            "balance_gateway_reads",
            "Values returned, by origin: live, cached, stale or failed.",
            ["kind", "state"],
            registry=self.registry,
        )
        self.reads_coalesced = Counter(
            "balance_gateway_reads_coalesced",
            "Reads that joined an upstream call already in progress.",
            registry=self.registry,
        )
        self.fills_fenced = Counter(
            "balance_gateway_fills_fenced",
            "Values that were read and not cached, because a write was in progress or uncertain.",
            registry=self.registry,
        )
        self.refreshes = Counter(
            "balance_gateway_refreshes",
            "Values in use that were refreshed in the background before they expired.",
            registry=self.registry,
        )
        self.turned_away = Counter(
            "balance_gateway_requests_turned_away",
            "Requests rejected with 503 because too many were in progress.",
            registry=self.registry,
        )
        self.failed_credentials = Counter(
            "balance_gateway_failed_credentials",
            "Wrong keys and tokens: refused with 401, or throttled with 429.",
            ["outcome"],
            registry=self.registry,
        )
        self.graphql_fallbacks = Counter(
            "balance_gateway_graphql_fallbacks",
            "Operations that graphql-core executed, by the reason why they were not compiled.",
            ["reason"],
            registry=self.registry,
        )
        self.writes = Counter(
            "balance_gateway_writes",
            "Writes, by outcome: applied, uncertain or rejected.",
            ["connector", "outcome"],
            registry=self.registry,
        )
        self.writes_settled = Counter(
            "balance_gateway_writes_settled",
            "Uncertain writes that were settled: proved, disproved, superseded or person.",
            ["connector", "how"],
            registry=self.registry,
        )
        self.unsettled_writes = Gauge(
            "balance_gateway_unsettled_writes",
            "Uncertain writes that are not settled, in the journal that all processes share.",
            registry=self.registry,
            multiprocess_mode="livemostrecent",
        )
        self.breaker_open = Gauge(
            "balance_gateway_breaker_open",
            "1 while calls through the connector fail fast or a probe is in progress; else 0.",
            ["connector"],
            registry=self.registry,
            multiprocess_mode="livemax",
        )
        self.budget_remaining = Gauge(
            "balance_gateway_budget_remaining",
            "Calls left for the connector now, as far as this process knows.",
            ["connector"],
            registry=self.registry,
            multiprocess_mode="livemin",
        )
        self.budget_refills_seconds = Gauge(
            "balance_gateway_budget_refills_seconds",
            "Seconds until the connector's budget is full again, as far as this process knows.",
            ["connector"],
            registry=self.registry,
            multiprocess_mode="livemax",
        )
        self.config_info = Gauge(
            "balance_gateway_config_info",
            "1, with the version of the configuration that is in use.",
            ["version"],
            registry=self.registry,
            multiprocess_mode="livemax",
        )
        self.config_reloads = Counter(
            "balance_gateway_config_reloads",
            "Reloads of the configuration: applied, or refused because the file is wrong.",
            ["outcome"],
            registry=self.registry,
        )
        self.config_restart_keys = Gauge(
            "balance_gateway_config_restart_keys",
            "Changed keys of the configuration that a reload does not take: they need a restart.",
            registry=self.registry,
            multiprocess_mode="livemax",
        )
        self.cache_up = Gauge(
            "balance_gateway_cache_up",
            "1 when the shared cache responds and accepts writes, or there is none; else 0.",
            registry=self.registry,
            multiprocess_mode="livemin",
        )
        self.oldest_value_seconds = Gauge(
            "balance_gateway_oldest_value_seconds",
            "Largest age of the values that callers got in the last minutes, in seconds.",
            ["connector"],
            registry=self.registry,
            multiprocess_mode="livemax",
        )
        self.build_info = Gauge(
            "balance_gateway_build_info",
            "Always 1; the label names the version.",
            ["version"],
            registry=self.registry,
            multiprocess_mode="livemax",
        )
        self.build_info.labels(__version__).set(1)

    def watch(self, gauge: Gauge, read: Callable[[], float], connector: str | None = None) -> None:
        """Let a gauge show what a function returns at each scrape.

        Args:
            gauge: the gauge.
            read: the function.
            connector: the gauge's label; None for a gauge without labels.
        """
        if self._shared is None:
            _get_child(gauge, connector).set_function(read)
        else:
            self._watched[gauge, connector] = read

    def forget_connectors(self, *gauges: Gauge) -> None:
        """Let gauges with a label show no connector from now on."""
        for gauge, connector in list(self._watched):
            if gauge in gauges:
                del self._watched[gauge, connector]
                # The files of workers keep every label.
                _get_child(gauge, connector).set(math.nan)
        for gauge in gauges:
            gauge.clear()

    def show_config(self, version: str) -> None:
        """Show the version of the configuration in use."""
        if self._config_version not in (None, version):
            # The files of workers keep every label.
            self.config_info.labels(self._config_version).set(0)
        self.config_info.clear()
        self.config_info.labels(version).set(1)
        self._config_version = version

    async def write_gauges(self) -> None:
        """Write the watched gauges again and again, for the scrapes of other workers."""
        while self._watched:
            self._write_gauges()
            await asyncio.sleep(GAUGE_INTERVAL_S)

    def collect(self) -> Iterable[Metric]:
        """Return the metrics of all workers; called by the registry ``scraped``."""
        assert self._shared is not None
        self._write_gauges()
        return self._shared.collect()

    def _write_gauges(self) -> None:
        for (gauge, connector), read in self._watched.items():
            _get_child(gauge, connector).set(read())


def _get_child(gauge: Gauge, connector: str | None) -> Gauge:
    return gauge if connector is None else gauge.labels(connector)
