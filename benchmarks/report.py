"""Formats results as Markdown tables, with the machine and the versions."""

import importlib.metadata
import math
import platform
from collections.abc import Callable, Mapping, Sequence

from benchmarks import load, machine, nginx
from benchmarks.rounds import Result
from benchmarks.workloads import BY_NAME

_PACKAGES = (
    "balance-gateway",
    "strawberry-graphql",
    "graphql-core",
    "aiocache",
    "httpx",
    "uvicorn",
    "uvloop",
    "httptools",
    "orjson",
    "redis",
)


def read_versions() -> dict[str, str]:
    """Read the versions of Python and of the measured packages."""
    python = {"Python": platform.python_version()}
    return python | {name: importlib.metadata.version(name) for name in _PACKAGES}


def describe_conditions() -> str:
    """Describe machine, versions and tools in a paragraph."""
    versions = ", ".join(f"{name} {version}" for name, version in read_versions().items())
    generator = "wrk" if load.has_wrk() else "the built-in generator"
    upstream = "nginx" if nginx.is_available(0) else "the built-in one"
    return (
        f"{machine.describe()}.\n{versions}.\n"
        f"Load from {generator}; Light's upstream is {upstream}, the others' is the built-in one."
    )


def format_tables(results: Sequence[Result]) -> str:
    """Format two tables: CPU and throughput; latency, upstream calls and memory."""
    by_workload: dict[str, dict[str, Result]] = {}
    for result in results:
        by_workload.setdefault(result.workload, {})[result.server] = result
    costs = [_format_cost_row(name, by_server) for name, by_server in by_workload.items()]
    others = [_format_other_row(name, by_server) for name, by_server in by_workload.items()]
    return "\n".join(
        [
            "CPU time of the server per request, and requests per second:",
            "",
            "| workload | gateway µs | baseline µs | bare µs | gateway ÷ bare | baseline ÷ gateway"
            " | gateway req/s | baseline req/s | bare req/s |",
            "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
            *costs,
            "",
            "Latency, upstream calls and memory, gateway · baseline:",
            "",
            "| workload | p50 ms | p99 ms | upstream calls per request | CPU µs per upstream call"
            " | peak RSS MB |",
            "|---|--:|--:|--:|--:|--:|",
            *others,
        ]
    )


def _format_cost_row(name: str, by_server: Mapping[str, Result]) -> str:
    all_three = [by_server.get(kind) for kind in ("gateway", "baseline", "bare")]
    gateway, baseline, bare = all_three
    cells = [
        f"{name}: {BY_NAME[name].title}",
        *(_format_number(None if result is None else result.cpu_us) for result in all_three),
        _format_ratio(gateway, bare),
        _format_ratio(baseline, gateway),
        *(
            _format_number(None if result is None else result.requests_per_s)
            for result in all_three
        ),
    ]
    return _format_row(cells)


def _format_other_row(name: str, by_server: Mapping[str, Result]) -> str:
    pair = [by_server.get(kind) for kind in ("gateway", "baseline")]
    columns: tuple[Callable[[Result], float | None], ...] = (
        lambda result: result.p50_ms,
        lambda result: result.p99_ms,
        lambda result: result.calls_per_request,
        lambda result: result.cpu_us_per_call,
        lambda result: result.peak_rss_mb,
    )
    cells = [
        " · ".join(_format_number(None if result is None else get(result)) for result in pair)
        for get in columns
    ]
    return _format_row([name, *cells])


def _format_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _format_number(value: float | None) -> str:
    """Format a number with three digits, or with all digits before the point."""
    if value is None or math.isnan(value):
        return "–"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _format_ratio(above: Result | None, below: Result | None) -> str:
    return "–" if above is None or below is None else _format_number(above.cpu_us / below.cpu_us)
