"""The workloads as data: the requests, the tenant, and what each is measured against."""

import random
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Literal

from graphql import build_schema

from benchmarks import accounts
from benchmarks.servers import KEY
from benchmarks.targets import documents, ledger, page
from benchmarks.targets.requests import (
    Requests,
    Variables,
    build_same,
    build_shuffled,
    build_variants,
)
from benchmarks.targets.rows import Goal

NODES_VARIED = "nodes-varied"
SERIES_DAYS = 30
SERIES_ACCOUNTS = 200
_VARIANTS = 20_000


@dataclass(frozen=True, slots=True)
class Workload:
    """One workload.

    Attributes:
        name: for ``--only``.
        title: description in the table.
        requests: what is sent, and expected.
        goal: the rule for its target.
        units: accounts or points in a response, for a target by unit.
        key: bearer key, which selects the tenant.
        database: of the gateway.
    """

    name: str
    title: str
    requests: Requests
    goal: Goal
    units: float = 1
    key: str = KEY
    database: Literal["sqlite", "postgresql"] = "sqlite"


_FIFTY = ledger.LIGHT_IDS[:50]
_LAST_DAY = date.fromisoformat(accounts.DAY)
_RANGE = {
    "from": (_LAST_DAY - timedelta(SERIES_DAYS - 1)).isoformat(),
    "to": accounts.DAY,
}


def list_workloads() -> list[Workload]:
    """List all workloads; those that are compared with each other are neighbours."""
    return [*_list_same(), *_list_embedded(), *_list_varied()]


def _list_same() -> list[Workload]:
    nodes, series = documents.expect_nodes, {"id": _FIFTY[0], **_RANGE}
    unknown = [*_FIFTY[:49], "light-unknown"]
    requests = {
        "nodes": ("nodes of 50", build_same(documents.NODES, nodes, ids=_FIFTY)),
        "freshness": (
            "nodes of 50 with ages",
            build_same(documents.NODES_FRESH, nodes, ids=_FIFTY),
        ),
        "connector": (
            "nodes of 50 with connector, health and budget",
            build_same(
                documents.NODES_CONNECTOR, documents.expect_nodes_with_connector, ids=_FIFTY
            ),
        ),
        "unknown-id": (
            "nodes of 50, one of them unknown",
            build_same(documents.NODES, nodes, ids=unknown, codes=("ACCOUNT_NOT_FOUND",)),
        ),
        "two-roots": (
            "nodes and balanceTotals of 50",
            build_same(documents.NODES_AND_TOTALS, documents.expect_nodes_and_totals, ids=_FIFTY),
        ),
        "aliases": (
            "50 aliases",
            build_same(documents.build_aliases(_FIFTY), lambda _: documents.expect_aliases(_FIFTY)),
        ),
        "fragments": ("nodes of 50, fragments", build_same(documents.FRAGMENTS, nodes, ids=_FIFTY)),
        "page": ("bankAccounts(first: 50)", build_same(documents.PAGE, documents.expect_page)),
        "page-1000": (
            "bankAccounts(first: 1000), one figure",
            build_same(
                documents.THOUSAND,
                documents.expect_thousand,
                simplify=documents.simplify_thousand,
            ),
        ),
        "totals-50": (
            "balanceTotals of 50",
            build_same(documents.TOTALS_OF_IDS, documents.expect_totals, ids=_FIFTY),
        ),
        "totals-1000": (
            "balanceTotals of 1,000",
            build_same(documents.TOTALS, documents.expect_totals),
        ),
        "series": (
            "balanceSeries of 30 days",
            build_same(documents.SERIES, documents.expect_series, **series),
        ),
        "history": (
            "balanceHistory of 30 days",
            build_same(documents.HISTORY, documents.expect_history, **series),
        ),
        "connectors": (
            "connectors",
            build_same(
                documents.CONNECTORS,
                lambda _: sorted(ledger.COUNTS),
                simplify=documents.simplify_connectors,
            ),
        ),
        "introspection": (
            "introspection of the schema",
            build_same(
                documents.INTROSPECTION,
                lambda _: _read_schema(),
                simplify=documents.simplify_introspection,
            ),
        ),
        "dashboard": (
            "the dashboard page's query, first page",
            _build_dashboard(),
        ),
    }
    return [
        Workload(f"same-{name}", title, each, "same") for name, (title, each) in requests.items()
    ]


def _list_embedded() -> list[Workload]:
    requests = build_same(documents.NODES, documents.expect_nodes, ids=ledger.BOOKS_IDS)
    databases: tuple[Literal["sqlite", "postgresql"], ...] = ("sqlite", "postgresql")
    return [
        Workload(
            f"embedded-{database}",
            f"50 accounts of the embedded ledger, {database}",
            requests,
            "embedded",
            ledger.BOOKS_COUNT,
            ledger.BOOKS_KEY,
            database,
        )
        for database in databases
    ]


def _list_varied() -> list[Workload]:
    ids, nodes = ledger.LIGHT_IDS, documents.expect_nodes
    filters = _list_total_filters()
    mean = sum(len(ledger.filter_ids(each["filter"])) for each in filters[:500]) / 500
    missing = build_shuffled(
        documents.NODES, nodes, ids, 49, first=["light-unknown"], codes=("ACCOUNT_NOT_FOUND",)
    )
    connector = build_shuffled(
        documents.NODES_CONNECTOR, documents.expect_nodes_with_connector, ids, 50
    )
    roots = build_shuffled(
        documents.NODES_AND_CONNECTORS, documents.expect_nodes_and_connectors, ids, 50
    )
    cursors = build_variants(documents.PAGE, documents.expect_page, list_page_cursors())
    conditions = build_variants(documents.PAGE, documents.expect_page, _list_page_filters())
    totals = build_shuffled(documents.TOTALS_OF_IDS, documents.expect_totals, ids, 50)
    by_filter = build_variants(documents.TOTALS, documents.expect_totals, filters)
    series = build_variants(documents.SERIES, documents.expect_series, _list_series())
    return [
        Workload(
            NODES_VARIED, "nodes of 50 random", build_shuffled(documents.NODES, nodes, ids, 50),
            "none",
        ),
        Workload("varied-connector", "nodes of 50 random with connector", connector, "alike"),
        Workload("varied-unknown-id", "nodes of 50 random, one unknown", missing, "alike"),
        Workload("varied-two-roots", "nodes of 50 random and connectors", roots, "alike"),
        Workload("varied-cursor", "a page of 50, another cursor", cursors, "page"),
        Workload("varied-filter", "a page of 50, another filter", conditions, "page"),
        Workload("varied-totals-50", "balanceTotals of 50 random", totals, "totals", 50),
        Workload(
            "varied-totals-filter", f"balanceTotals, another filter, {mean:.0f} accounts",
            by_filter, "totals", mean,
        ),
        Workload("varied-series", "balanceSeries, another account", series, "series", SERIES_DAYS),
    ]  # fmt: skip


def _build_dashboard() -> Requests:
    return build_same(
        page.read_query(),
        page.expect,
        simplify=page.simplify,
        **page.build_variables(None, ["LIGHT"]),
    )


def _read_schema() -> object:
    path = Path(__file__).parents[2] / "schema.graphql"
    types = build_schema(path.read_text(encoding="utf-8")).type_map
    fields = types["Query"].fields  # type: ignore[attr-defined]
    return {"types": sorted(types), "query": sorted(fields)}


def list_page_cursors() -> list[Variables]:
    """List cursors of pages of Light's accounts; no two are equal, as a cursor's need not exist."""
    rng = random.Random(2)
    return [
        {"after": ledger.build_cursor(f"{rng.choice(ledger.LIGHT_IDS[:940])}-{number}")}
        for number in range(_VARIANTS)
    ]


def _list_page_filters() -> list[Variables]:
    """List filters with a cursor, so that most requests are the first of their kind."""
    rng = random.Random(3)
    light = ledger.build_connector_id("light")
    return [
        {
            "filter": {
                "connectors": [light],
                "currencies": rng.choice([["EUR"], ["EUR", "USD"], ["USD", "EUR"]]),
                "nameContains": _vary_case("account ", rng),
            },
            "after": rng.choice([None, ledger.build_cursor(rng.choice(ledger.LIGHT_IDS[:940]))]),
        }
        for _ in range(_VARIANTS)
    ]


def _list_total_filters() -> list[Variables]:
    """List filters by connector, currency and name, none of which is empty."""
    rng = random.Random(4)
    names = [ledger.build_connector_id(each) for each in ledger.COUNTS]
    connectors = [names[:1], names, names[::-1]]
    return [
        {
            "filter": {
                "connectors": rng.choice(connectors),
                "currencies": rng.choice([["EUR"], ["EUR", "USD"], ["USD", "EUR"]]),
                "nameContains": _vary_case("account ", rng) + rng.choice(["", "", "1", "4", "7"]),
            }
        }
        for _ in range(_VARIANTS)
    ]


def _list_series() -> list[Variables]:
    """List the ranges of thirty days of many accounts."""
    return [
        {
            "id": account,
            "from": (_LAST_DAY - timedelta(shift + SERIES_DAYS - 1)).isoformat(),
            "to": (_LAST_DAY - timedelta(shift)).isoformat(),
        }
        for account in ledger.LIGHT_IDS[:SERIES_ACCOUNTS]
        for shift in range(10)
    ]


def _vary_case(text: str, rng: random.Random) -> str:
    return "".join(rng.choice((each.upper(), each)) for each in text)
