"""Measures workloads under load in interleaved rounds: the gateway, then the bare server.

The dashboard page's refresh is measured in the same way: a round loads both servers with each of
its GET requests, and its cost is their sum.
"""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import load
from benchmarks.servers import KEY, Server
from benchmarks.targets import page
from benchmarks.targets.changes import Client
from benchmarks.targets.fallbacks import read_fallbacks
from benchmarks.targets.rows import Row
from benchmarks.targets.stand import Stand
from benchmarks.targets.workloads import NODES_VARIED, Workload

CONNECTIONS = 16

REFRESH = "same-refresh"

#: How much the mean response size under load may differ from that of the checked responses.
SIZE_TOLERANCE = 0.04
VARIED_SIZE_TOLERANCE = 0.25


@dataclass(slots=True)
class _Measured:
    """What the rounds of one workload have measured so far."""

    workload: Workload
    response: bytes
    mean_bytes: float
    gateway_us: list[float] = field(default_factory=list)
    bare_us: list[float] = field(default_factory=list)
    requests: int = 0
    fallbacks: Counter[str] | None = None


def measure_group(
    stand: Stand, workloads: Sequence[Workload], rounds: int, seconds: float
) -> tuple[list[Row], list[str]]:
    """Measure workloads that are compared with each other.

    Args:
        stand: the servers.
        workloads: the workloads; each round measures all of them.
        rounds: number of rounds.
        seconds: duration of each server's part of a workload in a round.

    Returns:
        The rows, and descriptions of all wrong responses.
    """
    measured, wrong = [], []
    for workload in workloads:
        gateway = stand.gateways[workload.database]
        response, mean, problems = check_responses(workload, gateway)
        wrong += problems
        if not problems:
            measured.append(_Measured(workload, response, mean))
    for number in range(1, rounds + 1):
        for each in measured:
            wrong += _measure(stand, each, seconds, number)
    for workload in workloads:
        wrong += check_responses(workload, stand.gateways[workload.database])[2]
    return _build_rows(measured), wrong


def check_responses(workload: Workload, gateway: Server) -> tuple[bytes, float, list[str]]:
    """Check the responses to a sample of a workload's requests.

    Returns:
        A response of typical size, the mean size with headers, descriptions of wrong responses.
    """
    responses = []
    for body in workload.requests.sample_bodies():
        response = gateway.request("POST", "/graphql", body, workload.key)
        problem = workload.requests.find_problem(body, response.status, response.body)
        if problem is not None:
            return b"", 0, [f"{workload.name}: {problem}"]
        responses.append(response)
    mean = statistics.mean(each.size for each in responses)
    typical = min(responses, key=lambda each: abs(each.size - mean))
    return typical.body, mean, []


def _measure(stand: Stand, measured: _Measured, seconds: float, seed: int) -> list[str]:
    """Measure one workload in one round, on the gateway and on the bare server."""
    workload = measured.workload
    gateway = stand.gateways[workload.database]
    before = read_fallbacks(gateway)
    result, cpu_us = _load(stand, workload, gateway, seconds, seed)
    after = read_fallbacks(gateway)
    if before is not None and after is not None:
        measured.fallbacks = (measured.fallbacks or Counter()) + (after - before)
    if not result.requests:
        return [f"{workload.name}: no response in {seconds:g} s"]
    measured.gateway_us.append(cpu_us)
    measured.requests += result.requests
    problems = _find_problems(workload, result, measured.mean_bytes)
    # The bare server is measured with the bytes of this workload's response.
    stand.bare.request("PUT", "/answer", measured.response)
    bare, bare_us = _load(stand, workload, stand.bare, seconds, seed)
    measured.bare_us += [bare_us] if bare.requests else []
    return problems


def _load(
    stand: Stand, workload: Workload, server: Server, seconds: float, seed: int
) -> tuple[load.LoadResult, float]:
    """Load a server; return the result and the CPU time per request in microseconds."""
    template = stand.directory / "template"
    workload.requests.template.write(template)
    return _load_with(f"{server.url}/graphql", template, workload.key, server, seconds, seed)


def _load_with(
    url: str,
    template: Path | None,
    key: str,
    server: Server,
    seconds: float,
    seed: int,
    tag: str = "",
) -> tuple[load.LoadResult, float]:
    """Load a server; the arguments are those of ``load.run_generator``."""
    server.settle()
    before_s = server.cpu_s()
    result = load.run_generator(url, template, key, CONNECTIONS, seconds, seed, tag)
    server.settle()
    # Every connection had a request under way at the end, which the server has answered as well.
    answered = result.requests + (CONNECTIONS if result.requests else 0)
    return result, (server.cpu_s() - before_s) * 1e6 / max(1, answered)


def measure_refresh(stand: Stand, rounds: int, seconds: float) -> tuple[Row, list[str]]:
    """Measure the page's refresh under load, when nothing has changed: each response is a 304.

    Args:
        stand: the servers.
        rounds: number of rounds.
        seconds: duration of each server's part of a round for each request.

    Returns:
        The row, and descriptions of wrong responses.
    """
    gateway, paths = stand.gateways["sqlite"], page.list_paths()
    client = Client(gateway, REFRESH)
    gateway_us, bare_us, requests = [], [], 0
    wrong = []
    before = read_fallbacks(gateway)
    stand.bare.request("PUT", "/answer", b"")
    for number in range(rounds):
        sums_us = [0.0, 0.0]
        for path in paths:
            for index, server in enumerate((gateway, stand.bare)):
                tag = client.fetch_tag(path) if server is gateway else ""
                result, cpu_us = _load_with(
                    server.url + path, None, KEY, server, seconds, number, tag
                )
                sums_us[index] += cpu_us
                requests += result.requests if server is gateway else 0
                if result.failed:
                    wrong.append(f"{REFRESH}: {result.failed} of {result.requests} were no 304")
        gateway_us.append(sums_us[0])
        bare_us.append(sums_us[1])
    after = read_fallbacks(gateway)
    row = Row(
        name=REFRESH,
        title="the page's refresh, nothing changed",
        goal="refresh",
        cpu_us=statistics.median(gateway_us),
        bare_us=statistics.median(bare_us),
        answer_bytes=0,
        requests=requests,
        fallbacks=None if before is None or after is None else after - before,
    )
    return row, wrong[:3]


def _find_problems(workload: Workload, result: load.LoadResult, size: float) -> list[str]:
    if result.failed:
        return [f"{workload.name}: {result.failed} requests failed under load"]
    tolerance = VARIED_SIZE_TOLERANCE if workload.requests.template.shuffled else SIZE_TOLERANCE
    mean = result.bytes / result.requests
    if abs(mean - size) > size * tolerance:
        return [f"{workload.name}: {mean:.0f} bytes under load, {size:.0f} when checked"]
    return []


def _build_rows(measured: Sequence[_Measured]) -> list[Row]:
    median = statistics.median
    complete = [each for each in measured if each.gateway_us]
    by_name = {each.workload.name: median(each.gateway_us) for each in complete}
    return [
        Row(
            name=each.workload.name,
            title=each.workload.title,
            goal=each.workload.goal,
            cpu_us=by_name[each.workload.name],
            bare_us=median(each.bare_us) if each.bare_us else None,
            reference_us=by_name.get(NODES_VARIED),
            answer_bytes=len(each.response),
            units=each.workload.units,
            requests=each.requests,
            fallbacks=each.fallbacks,
        )
        for each in complete
    ]
