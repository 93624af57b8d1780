"""Defines the Prometheus metrics served at ``/metrics``. All names start with balance_gateway_."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """All metrics of one process, in a registry of their own.

    Attributes:
        registry: the registry that ``/metrics`` renders.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
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
        )
        self.breaker_open = Gauge(
            "balance_gateway_breaker_open",
            "1 while calls through the connector fail fast or a probe is in progress; else 0.",
            ["connector"],
            registry=self.registry,
        )
        self.budget_remaining = Gauge(
            "balance_gateway_budget_remaining",
            "Calls left for the connector now, as far as this process knows.",
            ["connector"],
            registry=self.registry,
        )
        self.budget_refills_seconds = Gauge(
            "balance_gateway_budget_refills_seconds",
            "Seconds until the connector's budget is full again, as far as this process knows.",
            ["connector"],
            registry=self.registry,
        )
        self.config_info = Gauge(
            "balance_gateway_config_info",
            "1, with the version of the configuration that is in use.",
            ["version"],
            registry=self.registry,
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
        )
        self.cache_up = Gauge(
            "balance_gateway_cache_up",
            "1 when the shared cache responds and accepts writes, or there is none; else 0.",
            registry=self.registry,
        )
