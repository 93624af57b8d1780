"""Prints results as Markdown, with what they were measured on."""

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


def versions() -> dict[str, str]:
    """The versions of everything that is measured."""
    found = {"Python": platform.python_version()}
    return found | {name: importlib.metadata.version(name) for name in _PACKAGES}


def conditions() -> str:
    """Machine, versions and tools, as a paragraph."""
    told = ", ".join(f"{name} {version}" for name, version in versions().items())
    generator = "wrk" if load.has_wrk() else "the built-in generator"
    upstream = "nginx" if nginx.is_fit(0) else "the built-in one"
    return (
        f"{machine.description()}.\n{told}.\n"
        f"Load from {generator}; Light played by {upstream}, other providers by the built-in one."
    )


def tables(results: Sequence[Result]) -> str:
    """Two tables: CPU and throughput; latency, upstream calls and memory."""
    by_workload: dict[str, dict[str, Result]] = {}
    for result in results:
        by_workload.setdefault(result.workload, {})[result.server] = result
    costs = [_cost_row(name, found) for name, found in by_workload.items()]
    others = [_other_row(name, found) for name, found in by_workload.items()]
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


def _cost_row(name: str, found: Mapping[str, Result]) -> str:
    all_three = [found.get(kind) for kind in ("gateway", "baseline", "bare")]
    gateway, baseline, bare = all_three
    cells = [
        f"{name}: {BY_NAME[name].title}",
        *(_number(None if one is None else one.cpu_us) for one in all_three),
        _ratio(gateway, bare),
        _ratio(baseline, gateway),
        *(_number(None if one is None else one.requests_per_s) for one in all_three),
    ]
    return _row(cells)


def _other_row(name: str, found: Mapping[str, Result]) -> str:
    pair = [found.get(kind) for kind in ("gateway", "baseline")]
    columns: tuple[Callable[[Result], float | None], ...] = (
        lambda one: one.p50_ms,
        lambda one: one.p99_ms,
        lambda one: one.calls_per_request,
        lambda one: one.cpu_us_per_call,
        lambda one: one.peak_rss_mb,
    )
    cells = [
        " · ".join(_number(None if one is None else told(one)) for one in pair) for told in columns
    ]
    return _row([name, *cells])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _number(value: float | None) -> str:
    """Three digits, or all before the point."""
    if value is None or math.isnan(value):
        return "–"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _ratio(above: Result | None, below: Result | None) -> str:
    return "–" if above is None or below is None else _number(above.cpu_us / below.cpu_us)
