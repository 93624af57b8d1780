"""The workloads of the benchmarks, as data: query, accounts, connections, cache and servers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks import accounts, queries
from benchmarks.queries import Query

CacheKind = Literal["memory", "redis", "off"]
ServerKind = Literal["gateway", "baseline", "bare"]

ALL: tuple[ServerKind, ...] = ("gateway", "baseline", "bare")
WITHOUT_BARE: tuple[ServerKind, ...] = ("gateway", "baseline")
WITHOUT_BASELINE: tuple[ServerKind, ...] = ("gateway", "bare")


@dataclass(frozen=True, slots=True)
class Workload:
    """One workload.

    Attributes:
        name: for ``--only``.
        title: description in the tables.
        query: the query of all requests.
        pool: the ids of the requested accounts.
        count: accounts in a request.
        shuffled: whether each request has random accounts of the pool; else it has the first ones.
        connections: concurrent connections, with one request at a time each.
        cache: the cache of the gateway and the baseline.
        delay_ms: delay of the upstream's responses.
        servers: the servers that support it. The bare server has no upstream, the baseline no
            embedded ledger.
    """

    name: str
    title: str
    query: Query
    pool: Sequence[str]
    count: int
    shuffled: bool = True
    connections: int = 16
    cache: CacheKind = "memory"
    delay_ms: float = 0
    servers: tuple[ServerKind, ...] = ALL

    @property
    def only_light(self) -> bool:
        """Whether Light is the only upstream that is needed."""
        return all(each.startswith(("light", "local")) for each in self.pool)


_FIFTY = accounts.list_ids("light", 50)
_TWO_HUNDRED = accounts.list_ids("light", 200)


def _build_cached_workload(count: int) -> Workload:
    return Workload(
        f"n{count}",
        f"{count} of {max(count, 200)} shuffled, cached",
        queries.DASHBOARD,
        accounts.list_ids("light", max(count, 200)),
        count,
        connections=4,
    )


WORKLOADS: tuple[Workload, ...] = (
    Workload("one", "one account, cached", queries.ONE, _FIFTY[:1], 1, shuffled=False),
    Workload("fifty-same", "the same 50, cached", queries.DASHBOARD, _FIFTY, 50, shuffled=False),
    Workload("fifty-random", "50 random of 200, cached", queries.DASHBOARD, _TWO_HUNDRED, 50),
    *(_build_cached_workload(count) for count in (1, 10, 100, 1_000)),
    Workload(
        "aliases",
        "50 aliases, new literals each time, cached",
        queries.ALIASES,
        _TWO_HUNDRED,
        50,
        connections=8,
    ),
    Workload(
        "everything",
        "50 random of 200, every field, cached",
        queries.EVERYTHING,
        _TWO_HUNDRED,
        50,
    ),
    Workload(
        "openings", "openingBalance of 50 random of 200, cached", queries.OPENINGS, _TWO_HUNDRED, 50
    ),
    Workload(
        "totals", "balanceTotals of 50 random of 200, cached", queries.TOTALS, _TWO_HUNDRED, 50
    ),
    Workload(
        "local",
        "50 accounts of the embedded ledger, shuffled, cache on",
        queries.DASHBOARD,
        accounts.list_ids("local", 50),
        50,
        servers=WITHOUT_BASELINE,
    ),
    Workload(
        "local-uncached",
        "50 accounts of the embedded ledger, cache off",
        queries.DASHBOARD,
        accounts.list_ids("local", 50),
        50,
        connections=2,
        cache="off",
        servers=("gateway",),
    ),
    Workload(
        "mixed",
        "50 accounts at three providers, shuffled, cached",
        queries.DASHBOARD,
        accounts.list_mixed_ids(),
        50,
    ),
    Workload(
        "redis",
        "50 random of 200, cached in Redis",
        queries.DASHBOARD,
        _TWO_HUNDRED,
        50,
        cache="redis",
    ),
    Workload(
        "uncached",
        "50 random of 200, nothing cached, upstream 0 ms",
        queries.DASHBOARD,
        _TWO_HUNDRED,
        50,
        connections=2,
        cache="off",
        servers=WITHOUT_BARE,
    ),
    Workload(
        "mixed-uncached",
        "50 accounts at three providers, nothing cached, upstream 0 ms",
        queries.DASHBOARD,
        accounts.list_mixed_ids(),
        50,
        connections=2,
        cache="off",
        servers=WITHOUT_BARE,
    ),
    Workload(
        "in-flight",
        "the same 50 asked by 8 at once, nothing cached",
        queries.DASHBOARD,
        _FIFTY,
        50,
        shuffled=False,
        connections=8,
        cache="off",
        servers=WITHOUT_BARE,
    ),
    Workload(
        "slow",
        "the same 50, nothing cached, upstream 50 ms",
        queries.DASHBOARD,
        _FIFTY,
        50,
        shuffled=False,
        connections=1,
        cache="off",
        delay_ms=50,
        servers=WITHOUT_BARE,
    ),
    Workload(
        "slow-20",
        "the same 50 asked by 20 at once, nothing cached, upstream 50 ms",
        queries.DASHBOARD,
        _FIFTY,
        50,
        shuffled=False,
        connections=20,
        cache="off",
        delay_ms=50,
        servers=WITHOUT_BARE,
    ),
)

BY_NAME = {workload.name: workload for workload in WORKLOADS}
