"""Runs one workload: starts what it needs, checks the answers, measures in interleaved rounds."""

import contextlib
import math
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import load, recipes, servers
from benchmarks.load import Measured
from benchmarks.servers import KEY, Server
from benchmarks.workloads import ServerKind, Workload

#: Answers under load may differ from the checked ones by as much: ages have one digit or two.
SIZE_TOLERANCE = 0.04

#: A server that answers fewer requests than these while it warms up is measured for longer.
REQUESTS_MIN = 20
LONGER_S = 6.0


@dataclass(frozen=True, slots=True)
class Round:
    """One server's part of a round."""

    measured: Measured
    cpu_s: float
    calls: int


@dataclass(frozen=True, slots=True)
class Result:
    """The medians of one server's rounds in one workload."""

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
        """CPU time for each upstream call; None where there are none."""
        return self.cpu_us / self.calls_per_request if self.calls_per_request > 0.5 else None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a workload: results, and what was wrong."""

    results: list[Result]
    wrong: list[str]


def run(workload: Workload, rounds: int, seconds: float) -> Outcome:
    """Runs one workload on every server that can do it."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        directory = Path(folder)
        try:
            with _started(workload, directory) as (upstream, started):
                return _compare(workload, directory, upstream, started, rounds, seconds)
        except servers.StartFailed as failed:
            return Outcome([], [f"{workload.name}: {failed}"])


@contextlib.contextmanager
def _started(
    workload: Workload, directory: Path
) -> Iterator[tuple[Server, dict[ServerKind, Server]]]:
    """The upstream and the servers of a workload, all fresh."""
    with contextlib.ExitStack() as stack:
        delay_ms = workload.delay_ms
        upstream = stack.enter_context(
            servers.upstream(directory, delay_ms, only_light=workload.only_light)
        )
        cache_url = {"memory": "memory://", "redis": "", "off": ""}[workload.cache]
        if workload.cache == "redis":
            redis = stack.enter_context(servers.redis(directory))
            cache_url = f"redis://127.0.0.1:{redis.port}/0"
        started: dict[ServerKind, Server] = {}
        if "gateway" in workload.servers:
            with_local = any(one.startswith("local") for one in workload.pool)
            gateway = servers.gateway(directory, upstream.url, cache_url, with_local=with_local)
            started["gateway"] = stack.enter_context(gateway)
        if "baseline" in workload.servers:
            baseline = servers.baseline(directory, upstream.url, cache_url)
            started["baseline"] = stack.enter_context(baseline)
        if "bare" in workload.servers:
            started["bare"] = stack.enter_context(servers.bare(directory))
        yield upstream, started


def _compare(
    workload: Workload,
    directory: Path,
    upstream: Server,
    started: dict[ServerKind, Server],
    rounds: int,
    seconds: float,
) -> Outcome:
    wrong, sizes = checked(workload, started)
    if wrong:
        return Outcome([], wrong)
    recipe = directory / "recipe"
    recipes.recipe_of(
        workload.query, workload.pool, workload.count, shuffled=workload.shuffled
    ).write(recipe)

    def measure(server: Server, seconds: float, seed: int) -> Measured:
        server.settle()
        return load.run(f"{server.url}/graphql", recipe, KEY, workload.connections, seconds, seed)

    lengths_s = {}
    for name, server in started.items():
        slow = measure(server, 1, 0).requests < REQUESTS_MIN
        lengths_s[name] = max(seconds, LONGER_S) if slow else seconds
    done: dict[ServerKind, list[Round]] = {name: [] for name in started}
    for number in range(1, rounds + 1):
        for name, server in started.items():
            server.settle()
            calls, cpu_s = upstream.calls(), server.cpu_s()
            measured = measure(server, lengths_s[name], number)
            done[name].append(Round(measured, server.cpu_s() - cpu_s, upstream.calls() - calls))
            wrong += _wrong_under_load(f"{workload.name}/{name}", measured, sizes[name])
    for server in started.values():
        server.settle()
    wrong += checked(workload, started)[0]
    results = [
        _medians(workload, name, done[name], server.peak_rss_mb(), sizes[name])
        for name, server in started.items()
    ]
    return Outcome(results, wrong)


def checked(
    workload: Workload, started: dict[ServerKind, Server]
) -> tuple[list[str], dict[ServerKind, int]]:
    """Asks for every account of the pool, which also fills caches, and compares with the truth.

    Returns:
        What was wrong, and the size of the answer to the first request.
    """
    wrong: list[str] = []
    sizes: dict[ServerKind, int] = {}
    for name, server in started.items():
        if name == "bare":
            continue
        for ids in _parts(workload):
            reply = server.ask("POST", "/graphql", workload.query.body(ids))
            problem = workload.query.wrong(ids, reply.status, reply.body)
            if problem is not None:
                wrong.append(f"{workload.name}/{name}: {problem}")
                break
        # Once more for the size, and for what the limit prints: now everything is kept.
        first = list(workload.pool[: workload.count])
        reply = server.ask("POST", "/graphql", workload.query.body(first))
        sizes[name] = reply.size
        if name == "gateway" and "bare" in started:
            sizes["bare"] = started["bare"].ask("PUT", "/answer", reply.body).size
    return wrong, sizes


def _parts(workload: Workload) -> Iterator[Sequence[str]]:
    """The pool in requests as the workload sends them, but no smaller than need be."""
    size = workload.count if workload.count == 1 and not workload.shuffled else 50
    for start in range(0, len(workload.pool), size):
        yield workload.pool[start : start + size]
    yield workload.pool[: workload.count]


def _wrong_under_load(where: str, measured: Measured, size: int) -> list[str]:
    if measured.failed:
        return [f"{where}: {measured.failed} of {measured.requests} requests failed under load"]
    mean = measured.bytes / measured.requests if measured.requests else size
    if abs(mean - size) > size * SIZE_TOLERANCE:
        return [f"{where}: answers under load had {mean:.0f} bytes, the checked one {size}"]
    return []


def _medians(
    workload: Workload, server: ServerKind, done: list[Round], peak_rss_mb: float, size: int
) -> Result:
    median = statistics.median
    # A server may be too slow to answer a single request in time.
    done = [one for one in done if one.measured.requests] or done
    nothing = not any(one.measured.requests for one in done)
    return Result(
        workload=workload.name,
        server=server,
        requests_per_s=median(one.measured.requests / one.measured.seconds for one in done),
        cpu_us=math.nan
        if nothing
        else median(one.cpu_s * 1e6 / one.measured.requests for one in done),
        calls_per_request=median(one.calls / max(1, one.measured.requests) for one in done),
        p50_ms=median(one.measured.p50_ms for one in done),
        p99_ms=median(one.measured.p99_ms for one in done),
        peak_rss_mb=peak_rss_mb,
        answer_bytes=size,
    )
