"""The workloads, as data: what is asked, how often the same, over how many connections."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks import books, queries
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
        title: for people.
        query: what is asked.
        pool: the accounts asked for.
        count: accounts in a request.
        shuffled: whether they are picked from the pool at random for each request.
        connections: requests under way.
        cache: what the gateways keep values in.
        delay_ms: how long the upstream takes.
        servers: those that can do it. Bare cannot ask an upstream; the baseline has no ledger.
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
        """Whether no other provider is needed."""
        return all(one.startswith(("light", "local")) for one in self.pool)


_FIFTY = books.ids("light", 50)
_TWO_HUNDRED = books.ids("light", 200)


def _of_n(count: int) -> Workload:
    return Workload(
        f"n{count}",
        f"{count} of {max(count, 200)} shuffled, cached",
        queries.DASHBOARD,
        books.ids("light", max(count, 200)),
        count,
        connections=4,
    )


WORKLOADS: tuple[Workload, ...] = (
    Workload("one", "one account, cached", queries.ONE, _FIFTY[:1], 1, shuffled=False),
    Workload("fifty-same", "the same 50, cached", queries.DASHBOARD, _FIFTY, 50, shuffled=False),
    Workload("fifty-random", "50 random of 200, cached", queries.DASHBOARD, _TWO_HUNDRED, 50),
    *(_of_n(count) for count in (1, 10, 100, 1_000)),
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
        books.ids("local", 50),
        50,
        servers=WITHOUT_BASELINE,
    ),
    Workload(
        "local-uncached",
        "50 accounts of the embedded ledger, cache off",
        queries.DASHBOARD,
        books.ids("local", 50),
        50,
        connections=2,
        cache="off",
        servers=("gateway",),
    ),
    Workload(
        "mixed",
        "50 accounts at three providers, shuffled, cached",
        queries.DASHBOARD,
        books.mixed_ids(),
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
        books.mixed_ids(),
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
