"""A value that cannot be written out fails its field, with one error under both engines."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest

from balance_gateway.api.execution.engine import GraphQLRequest
from balance_gateway.api.request.context import Caller
from balance_gateway.api.schema.money import compute_age_seconds
from balance_gateway.domain.accounts import Account
from balance_gateway.domain.balances import OpeningBalance
from balance_gateway.domain.money import Money
from tests.api.compiled.gateway_harness import READER, START, FiguresProvider, GatewayHarness

QUERY = """{ nodes(ids: ["a0", "a1"]) { id ... on BankAccount { name openingBalance {
  amount { minorUnits amount currency } createdAt effectiveAt memo metadata
  freshness { ageSeconds } } } } }"""


class OddProvider(FiguresProvider):
    """Returns one odd opening balance, for the account a1.

    Args:
        changes: its fields.
    """

    def __init__(self, changes: dict[str, Any]) -> None:
        super().__init__()
        self.changes = changes

    async def opening_balance(self, account: Account) -> OpeningBalance | None:
        found = await super().opening_balance(account)
        return replace(found, **self.changes) if found and account.id == "a1" else found


def nest(levels: int) -> Any:
    return [nest(levels - 1)] if levels else 1


ODD = {
    "currency": {"amount": Money(100, "QQQ")},
    "huge integer": {"amount": Money(10**5000, "JPY")},
    "early instant": {"created_at": datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))},
    "late instant": {"effective_at": datetime.max.replace(tzinfo=timezone(-timedelta(hours=12)))},
    "object": {"metadata": {"x": object()}},
    "deep metadata": {"metadata": {"x": nest(600)}},
    "huge number in metadata": {"metadata": {"x": 10**5000}},
    "memo": {"memo": object()},
}


@pytest.mark.parametrize("name", ODD)
async def test_a_value_that_cannot_be_written_fails_its_field_alone(name: str):
    """A journal row in BGN, which has left ISO 4217, once dropped the whole answer."""
    answers = []
    for engine in ("compiled", "graphql_core"):
        harness = GatewayHarness(provider=OddProvider(ODD[name]))
        bodies = [await harness.send(getattr(harness, engine), QUERY) for _ in range(2)]
        answers += map(orjson.loads, bodies)

    first = answers[0]
    assert [each["errors"] for each in answers] == [first["errors"]] * 4
    assert first["data"]["nodes"][0]["openingBalance"]["amount"]["minorUnits"] == "0"
    assert first["data"]["nodes"][1]["id"] == "a1"
    [error] = first["errors"]
    assert error["path"][:3] == ["nodes", 1, "openingBalance"]
    assert error["extensions"]["code"] in ("INTERNAL", "BAD_USER_INPUT")


@pytest.mark.parametrize(
    "metadata", [{1: "key"}, {"\ud800": "\ud800"}, {"n": float("nan")}, {"n": 2**200}]
)
async def test_odd_metadata_is_written_by_both_engines(metadata: Any):
    bodies = []
    for engine in ("compiled", "graphql_core"):
        harness = GatewayHarness(provider=OddProvider({"metadata": metadata}))
        bodies.append(await harness.send(getattr(harness, engine), QUERY))

    assert bodies[0] == bodies[1]
    assert b'"errors"' not in bodies[0]


def test_an_age_is_at_most_the_largest_int():
    assert compute_age_seconds(datetime(1, 1, 1, tzinfo=UTC), START) == 2**31 - 1
    assert compute_age_seconds(START, START - timedelta(days=1)) == 0


@pytest.mark.parametrize("engine_name", ["compiled", "graphql_core"])
async def test_data_with_errors_is_a_partial_success(engine_name: str):
    harness = GatewayHarness()
    harness.provider.failing_ids = {"a1"}
    engine = getattr(harness, engine_name)
    query = '{ nodes(ids: ["a0", "a1"]) { ... on BankAccount { balance { asOf } } } }'
    request = GraphQLRequest(query)

    response = await engine.execute(engine.prepare(request), Caller(READER, "request"))

    assert response.status == 294
    assert response.json_status == 200
