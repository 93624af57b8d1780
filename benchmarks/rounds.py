"""Runs one workload: starts the servers, checks their responses, measures interleaved rounds."""

import contextlib
import math
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import body_templates, load, servers
from benchmarks.load import LoadResult
from benchmarks.servers import KEY, Server
from benchmarks.workloads import ServerKind, Workload

#: How much the mean response size under load may differ from the checked response: an age has one
#: digit or two.
SIZE_TOLERANCE = 0.04

#: A server with fewer responses than these in the warm-up second is measured for longer.
REQUESTS_MIN = 20
SLOW_SERVER_S = 6.0


@dataclass(frozen=True, slots=True)
class Round:
    """The measurement of one server in one round: load, CPU time in seconds, upstream calls."""

    load: LoadResult
    cpu_s: float
    calls: int


@dataclass(frozen=True, slots=True)
class Result:
    """The medians of one server's rounds in one workload; sizes are of the checked response."""

    workload: str
    server: ServerKind
    requests_per_s: float
    cpu_us: float
    calls_per_request: float
    p50_ms: float
    p99_ms: float
    peak_rss_mb: float
    answer_bytes: int

    @property
    def cpu_us_per_call(self) -> float | None:
        """CPU time per upstream call; None without upstream calls."""
        return self.cpu_us / self.calls_per_request if self.calls_per_request > 0.5 else None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a workload: results, and descriptions of all wrong responses."""

    results: list[Result]
    wrong: list[str]


def run_workload(workload: Workload, rounds: int, seconds: float) -> Outcome:
    """Run one workload on every server that supports it.

    Args:
        workload: the workload.
        rounds: number of rounds.
        seconds: duration of each server's part in a round.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        directory = Path(folder)
        try:
            with _start_servers(workload, directory) as (upstream, started):
                return _compare(workload, directory, upstream, started, rounds, seconds)
        except servers.StartFailed as failed:
            return Outcome([], [f"{workload.name}: {failed}"])


@contextlib.contextmanager
def _start_servers(
    workload: Workload, directory: Path
) -> Iterator[tuple[Server, dict[ServerKind, Server]]]:
    """Start the upstream and the servers of a workload."""
    with contextlib.ExitStack() as stack:
        delay_ms = workload.delay_ms
        upstream = stack.enter_context(
            servers.start_upstream(directory, delay_ms, only_light=workload.only_light)
        )
        cache_url = {"memory": "memory://", "redis": "", "off": ""}[workload.cache]
        if workload.cache == "redis":
            redis = stack.enter_context(servers.start_redis(directory))
            cache_url = f"redis://127.0.0.1:{redis.port}/0"
        started: dict[ServerKind, Server] = {}
        if "gateway" in workload.servers:
            with_local = any(each.startswith("local") for each in workload.pool)
            gateway = servers.start_gateway(
                directory, upstream.url, cache_url, with_local=with_local
            )
            started["gateway"] = stack.enter_context(gateway)
        if "baseline" in workload.servers:
            baseline = servers.start_baseline(directory, upstream.url, cache_url)
            started["baseline"] = stack.enter_context(baseline)
        if "bare" in workload.servers:
            started["bare"] = stack.enter_context(servers.start_bare(directory))
        yield upstream, started


def _compare(
    workload: Workload,
    directory: Path,
    upstream: Server,
    started: dict[ServerKind, Server],
    rounds: int,
    seconds: float,
) -> Outcome:
    wrong, sizes = check_responses(workload, started)
    if wrong:
        return Outcome([], wrong)
    template = directory / "template"
    body_templates.build_template(
        workload.query, workload.pool, workload.count, shuffled=workload.shuffled
    ).write(template)

    def measure(server: Server, seconds: float, seed: int) -> LoadResult:
        server.settle()
        return load.run_generator(
            f"{server.url}/graphql", template, KEY, workload.connections, seconds, seed
        )

    durations_s = {}
    for name, server in started.items():
        slow = measure(server, 1, 0).requests < REQUESTS_MIN
        durations_s[name] = max(seconds, SLOW_SERVER_S) if slow else seconds
    measured: dict[ServerKind, list[Round]] = {name: [] for name in started}
    for number in range(1, rounds + 1):
        for name, server in started.items():
            server.settle()
            calls, cpu_s = upstream.calls(), server.cpu_s()
            result = measure(server, durations_s[name], number)
            measured[name].append(Round(result, server.cpu_s() - cpu_s, upstream.calls() - calls))
            wrong += _find_load_problems(f"{workload.name}/{name}", result, sizes[name])
    for server in started.values():
        server.settle()
    wrong += check_responses(workload, started)[0]
    results = [
        _build_result(workload, name, measured[name], server.peak_rss_mb(), sizes[name])
        for name, server in started.items()
    ]
    return Outcome(results, wrong)


def check_responses(
    workload: Workload, started: dict[ServerKind, Server]
) -> tuple[list[str], dict[ServerKind, int]]:
    """Request every account of the pool and check the responses; this also fills the caches.

    Returns:
        Descriptions of the wrong responses, and for each server the size in bytes of the response
        to the first accounts of the pool.
    """
    wrong: list[str] = []
    sizes: dict[ServerKind, int] = {}
    for name, server in started.items():
        if name == "bare":
            continue
        for ids in _split_pool(workload):
            response = server.request("POST", "/graphql", workload.query.build_body(ids))
            problem = workload.query.find_problem(ids, response.status, response.body)
            if problem is not None:
                wrong.append(f"{workload.name}/{name}: {problem}")
                break
        # All values are cached now. This response has the size of those under load, and is the one
        # that the bare server sends.
        first = list(workload.pool[: workload.count])
        response = server.request("POST", "/graphql", workload.query.build_body(first))
        sizes[name] = response.size
        if name == "gateway" and "bare" in started:
            sizes["bare"] = started["bare"].request("PUT", "/answer", response.body).size
    return wrong, sizes


def _split_pool(workload: Workload) -> Iterator[Sequence[str]]:
    """Split the pool into requests of 50 accounts, or of 1 if all requests are the same one."""
    size = workload.count if workload.count == 1 and not workload.shuffled else 50
    for start in range(0, len(workload.pool), size):
        yield workload.pool[start : start + size]
    yield workload.pool[: workload.count]


def _find_load_problems(name: str, result: LoadResult, size: int) -> list[str]:
    if result.failed:
        return [f"{name}: {result.failed} of {result.requests} requests failed under load"]
    mean = result.bytes / result.requests if result.requests else size
    if abs(mean - size) > size * SIZE_TOLERANCE:
        return [f"{name}: responses under load had {mean:.0f} bytes, the checked one {size}"]
    return []


def _build_result(
    workload: Workload, server: ServerKind, rounds: list[Round], peak_rss_mb: float, size: int
) -> Result:
    median = statistics.median
    # A server may be too slow for a single response in a round.
    rounds = [each for each in rounds if each.load.requests] or rounds
    has_requests = any(each.load.requests for each in rounds)
    return Result(
        workload=workload.name,
        server=server,
        requests_per_s=median(each.load.requests / each.load.seconds for each in rounds),
        cpu_us=median(each.cpu_s * 1e6 / each.load.requests for each in rounds)
        if has_requests
        else math.nan,
        calls_per_request=median(each.calls / max(1, each.load.requests) for each in rounds),
        p50_ms=median(each.load.p50_ms for each in rounds),
        p99_ms=median(each.load.p99_ms for each in rounds),
        peak_rss_mb=peak_rss_mb,
        answer_bytes=size,
    )
