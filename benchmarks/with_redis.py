"""Compares a gateway on Redis with one on memory, and two workers with one, in one run.

``python -m benchmarks.with_redis [--quick] [--rounds 5] [--seconds 2] [--only NAME …]``. All
servers run at once and are measured in interleaved rounds, so that other load on the machine
affects all of them; compare the ratios. Exits with 1 when a response was wrong.
"""

import argparse
import contextlib
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import load, report, servers
from benchmarks.servers import KEY, Server
from benchmarks.targets import documents, ledger, load_rounds, stand
from benchmarks.targets.fallbacks import format_fallbacks, read_fallbacks
from benchmarks.targets.requests import Requests, build_same, build_shuffled, build_variants
from benchmarks.targets.tables import format_number
from benchmarks.targets.workloads import Workload, list_page_cursors

_FIFTY, _POOL = ledger.LIGHT_IDS[:50], ledger.LIGHT_IDS[:200]

#: The gateways: the cache and the workers of each.
_GATEWAYS = {"memory": ("memory", 1), "redis": ("redis", 1), "two workers": ("redis", 2)}


@dataclass(frozen=True, slots=True)
class Case:
    """A workload, and the number of connections."""

    name: str
    requests: Requests
    connections: int


@dataclass(slots=True)
class Figures:
    """What the rounds of one case on one gateway have measured.

    Attributes:
        cpu_us: CPU time of the gateway's processes per request, by round.
        redis_us: CPU time of its Redis per request, by round.
        p50_ms: median latency, by round.
        fallbacks: operations that graphql-core executed, by reason.
    """

    cpu_us: list[float] = field(default_factory=list)
    redis_us: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    fallbacks: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Pair:
    """A gateway and its Redis."""

    gateway: Server
    redis: Server | None


def list_cases() -> list[Case]:
    """List the cases."""
    nodes = documents.expect_nodes
    same = build_same(documents.NODES, nodes, ids=_FIFTY)
    shuffled = build_shuffled(documents.NODES, nodes, _POOL, 50)
    page = build_variants(documents.PAGE, documents.expect_page, list_page_cursors())
    return [
        Case("the same request", same, 16),
        Case("50 random of 200", shuffled, 16),
        Case("a page, another cursor", page, 16),
        Case("the same request, alone", same, 1),
        Case("50 random of 200, alone", shuffled, 1),
    ]


def main() -> int:
    """Run the cases and print the table."""
    arguments = _parse_arguments()
    cases = [each for each in list_cases() if each.name in (arguments.only or [each.name])]
    wrong: list[str] = []
    figures = {(case.name, name): Figures() for case in cases for name in _GATEWAYS}
    with tempfile.TemporaryDirectory(prefix="redis-") as folder, _start(Path(folder)) as pairs:
        for case in cases:
            wrong += _check(case, pairs)
        for number in range(1, arguments.rounds + 1):
            print(f"round {number} …", file=sys.stderr, flush=True)
            for case in cases:
                for name, pair in pairs.items():
                    found = figures[case.name, name]
                    wrong += _measure(case, pair, found, Path(folder), arguments.seconds, number)
        for case in cases:
            wrong += _check(case, pairs)
    print(format_table(cases, figures))
    print(f"\n{report.describe_conditions()}")
    print(f"Medians of {arguments.rounds} rounds of {arguments.seconds:g} s.")
    print(f"\n{len(wrong)} wrong responses" if wrong else "\nAll responses were correct.")
    for problem in wrong:
        print(f"* {problem}")
    return 1 if wrong else 0


@contextlib.contextmanager
def _start(folder: Path) -> Iterator[dict[str, Pair]]:
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(servers.start_upstream(folder, 0, only_light=True))
        pairs = {}
        for name, (cache, workers) in _GATEWAYS.items():
            directory = folder / name.replace(" ", "-")
            directory.mkdir()
            redis, url = None, "memory://"
            if cache == "redis":
                redis = stack.enter_context(servers.start_redis(directory))
                url = f"redis://127.0.0.1:{redis.port}/0"
            gateway = servers.start_gateway(
                directory, upstream.url, url, with_local=True,
                layout=ledger.build_layout(), workers=workers,
            )  # fmt: skip
            pairs[name] = Pair(stack.enter_context(gateway), redis)
            stand.fill_caches(pairs[name].gateway)
        yield pairs


def _check(case: Case, pairs: dict[str, Pair]) -> list[str]:
    workload = Workload(case.name, case.name, case.requests, "none")
    return [
        problem
        for pair in pairs.values()
        for problem in load_rounds.check_responses(workload, pair.gateway)[2]
    ]


def _measure(
    case: Case, pair: Pair, found: Figures, folder: Path, seconds: float, seed: int
) -> list[str]:
    template = folder / "template"
    case.requests.template.write(template)
    gateway, redis = pair.gateway, pair.redis
    # A short run first: what changed since the last one is looked up again.
    url = f"{gateway.url}/graphql"
    load.run_generator(url, template, KEY, case.connections, 0.5, seed)
    gateway.settle()
    fallbacks = read_fallbacks(gateway) or Counter()
    before_s, redis_s = gateway.cpu_s(), redis.cpu_s() if redis else 0.0
    result = load.run_generator(url, template, KEY, case.connections, seconds, seed)
    gateway.settle()
    cpu_s, used_s = gateway.cpu_s() - before_s, redis.cpu_s() - redis_s if redis else 0.0
    if result.failed or not result.requests:
        return [f"{case.name}: {result.failed} of {result.requests} requests failed"]
    answered = result.requests + case.connections
    found.cpu_us.append(cpu_s * 1e6 / answered)
    found.redis_us.append(used_s * 1e6 / answered)
    found.p50_ms.append(result.p50_ms)
    found.fallbacks += (read_fallbacks(gateway) or Counter()) - fallbacks
    return []


def format_table(cases: list[Case], figures: dict[tuple[str, str], Figures]) -> str:
    """Format the medians and their ratios in Markdown."""
    lines = [
        "| request | connections | memory µs | Redis µs | ÷ memory | its Redis µs | two workers µs"
        " | their Redis µs | all ÷ one worker's | p50 ms memory · Redis | fallbacks |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for case in cases:
        memory, redis, two = (figures[case.name, name] for name in _GATEWAYS)
        if not (memory.cpu_us and redis.cpu_us and two.cpu_us):
            continue
        median = statistics.median
        ratios = [one / other for one, other in zip(redis.cpu_us, memory.cpu_us, strict=True)]
        one = [sum(each) for each in zip(redis.cpu_us, redis.redis_us, strict=True)]
        both = [sum(each) for each in zip(two.cpu_us, two.redis_us, strict=True)]
        sums = [many / single for many, single in zip(both, one, strict=True)]
        cells = [
            case.name,
            str(case.connections),
            *(format_number(median(each)) for each in (memory.cpu_us, redis.cpu_us)),
            f"{median(ratios):.2f}",
            *(format_number(median(each)) for each in (redis.redis_us, two.cpu_us, two.redis_us)),
            f"{median(sums):.2f}",
            f"{median(memory.p50_ms):.2f} · {median(redis.p50_ms):.2f}",
            format_fallbacks(memory.fallbacks + redis.fallbacks + two.fallbacks),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _parse_arguments() -> argparse.Namespace:
    names = [each.name for each in list_cases()]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of one second")
    parser.add_argument("--only", action="append", choices=names, metavar="NAME")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.seconds = 1, 1
    return arguments


if __name__ == "__main__":
    sys.exit(main())
