"""A compiled operation may cost more than one that graphql-core executes."""

import pytest

from balance_gateway.api.compiled.engine import CompiledEngine
from balance_gateway.api.execution.engine import Engine, GraphQLRequest
from balance_gateway.api.request.context import Caller
from balance_gateway.api.request.limits import Limits
from balance_gateway.api.schema.errors import RequestRefused
from balance_gateway.observability.metrics import Metrics
from tests.api.compiled.gateway_harness import READER, GatewayHarness

PAGE = "{ bankAccounts(first: %d) { nodes { id name currency provider } } }"


def build_engine(limits: Limits) -> CompiledEngine:
    harness = GatewayHarness()
    return CompiledEngine(
        Engine(harness.gateway, limits=limits),
        harness.gateway,
        limits=limits,
        request_timeout_s=10.0,
        metrics=Metrics(),
    )


@pytest.mark.parametrize("query", [PAGE % 1_000, PAGE % 100_000])
def test_a_page_of_ten_thousand_accounts_is_not_too_expensive(query: str) -> None:
    assert build_engine(Limits(accounts=10_000)).prepare(GraphQLRequest(query))


def test_what_is_left_to_graphql_core_has_the_lower_limit() -> None:
    engine = build_engine(Limits(accounts=10_000, cost=60_000, cost_graphql_core=40_000))
    writes = "{ openingBalanceWrites(first: 1) { totalCount: __typename } %s }"
    page = (PAGE % 10_000)[1:-1]

    engine.prepare(GraphQLRequest(PAGE % 10_000))
    with pytest.raises(RequestRefused, match="at most 40000 fields, not 50"):
        engine.prepare(GraphQLRequest(writes % page))


def test_a_compiled_operation_has_a_limit_too() -> None:
    engine = build_engine(Limits(accounts=10_000, cost=40_000))

    with pytest.raises(RequestRefused, match="at most 40000 fields, not 50001"):
        engine.prepare(GraphQLRequest(PAGE % 100_000))


def test_each_total_costs_the_accounts_that_it_sums() -> None:
    """A document can ask for 200 totals, each of another day."""
    totals = " ".join(f"t{number}: balanceTotals {{ currency }}" for number in range(200))

    with pytest.raises(RequestRefused, match="not 20001"):
        build_engine(Limits(accounts=100_000)).prepare(GraphQLRequest(f"{{ {totals} }}"))


async def test_an_operation_that_falls_back_at_last_has_the_lower_limit() -> None:
    """Only its arguments show that it cannot be compiled."""
    engine = build_engine(Limits(accounts=10_000, cost_graphql_core=40_000))
    query = "query ($after: String) { bankAccounts(first: 10000, after: $after) { nodes { id name"
    query += " currency provider } } }"
    operation = engine.prepare(GraphQLRequest(query, {"after": "no cursor"}))

    response = await engine.execute(operation, Caller(READER, "request"))

    assert b"at most 40000 fields" in response.body
