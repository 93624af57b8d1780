"""Totals that are kept or corrected say the same as new ones."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest

from balance_gateway.api.compiled import current_totals, kept_totals, total_rows
from balance_gateway.domain.access import Principal, Scope
from balance_gateway.domain.accounts import Account
from balance_gateway.domain.bank_feeds import BankFeed
from balance_gateway.domain.calendar_days import day_end_exclusive, today
from tests.api.compiled.gateway_harness import (
    NO_SCOPES,
    READER,
    START,
    ZONES,
    FiguresProvider,
    GatewayHarness,
    is_same_response,
)
from tests.api.compiled.random_history import without_early_refresh

#: Balances of a past day are kept for longer than the state of the bank feeds.
TOTALS = """{ balanceTotals(asOf: "2026-05-01") {
  currency included bank { amount } oldestSourcedAt
} }"""
READ_AGAIN = '{ bankAccount(id: "a0") { balance(asOf: "2026-05-01", maxAgeSeconds: 0) { asOf } } }'


class SyncingProvider(FiguresProvider):
    """A provider whose last sync with the bank a test moves."""

    def __init__(self) -> None:
        super().__init__()
        self.synced_at: datetime = START - timedelta(days=20)

    def _feed(self, account: Account) -> Any:
        feed = super()._feed(account)
        return replace(feed, last_synced_at=self.synced_at) if isinstance(feed, BankFeed) else feed


def list_syncs(response: bytes) -> set[str]:
    totals = orjson.loads(response)["data"]["balanceTotals"]
    return {total["oldestSourcedAt"] for total in totals if total["oldestSourcedAt"]}


@pytest.mark.parametrize("is_corrected", [False, True])
async def test_the_oldest_sync_is_that_of_the_feeds_now(is_corrected: bool) -> None:
    provider = SyncingProvider()
    harness = GatewayHarness(provider=provider)
    for _ in range(4):
        first = await harness.send(harness.compiled, TOTALS)
    harness.now += timedelta(seconds=400)
    provider.synced_at += timedelta(days=5)
    if is_corrected:
        provider.offset += 7
        await harness.send(harness.compiled, READ_AGAIN)

    second = await harness.send(harness.compiled, TOTALS)

    assert list_syncs(first) == {"2026-04-17T22:30:00Z"}
    assert list_syncs(second) == {"2026-04-22T22:30:00Z"}
    assert second == await harness.send(harness.graphql_core, TOTALS)


_FIELDS = """currency group bank { minorUnits } ledger { minorUnits } complete included
  bankIncluded ledgerIncluded missing { code reason bankAccount { id } } overlapping firstDay
  lastDay staleIncluded oldestObservedAt"""
DOCUMENTS = (
    f"{{ balanceTotals {{ {_FIELDS} }} }}",
    f"{{ balanceTotals {{ {_FIELDS} oldestSourcedAt }} }}",
    f'{{ balanceTotals(filter: {{ids: ["a0", "a1", "a3", "a5"]}}) {{ {_FIELDS} }} }}',
    f'{{ balanceTotals(filter: {{ids: ["a3", "a4", "a7"]}}, groupBy: CONNECTOR) {{ {_FIELDS} }} }}',
    f'{{ balanceTotals(asOf: "2026-05-07", groupBy: PROVIDER) {{ {_FIELDS} }} }}',
    f"""{{ balanceTotals(filter: {{currencies: ["EUR"]}}) {{ {_FIELDS} }}
      balanceTotalsSeries(from: "2026-05-05", to: "2026-05-08") {{ currency points {{ day total {{
      {_FIELDS} }} problem {{ code message }} }} }} }}""",
)
READ_TODAY = "query ($id: ID!) { bankAccount(id: $id) { balance(maxAgeSeconds: 0) { asOf } } }"
FOREIGN = Principal("reader", "globex", frozenset({Scope.BALANCES_READ}))


async def compare_totals(harness: GatewayHarness) -> None:
    for document in DOCUMENTS:
        for principal in (READER, FOREIGN):
            expected = await harness.send(harness.graphql_core, document, principal=principal)
            for _ in range(3):
                actual = await harness.send(harness.compiled, document, principal=principal)
                assert is_same_response(actual, expected), (document, actual, expected)
    refused = await harness.send(harness.compiled, DOCUMENTS[0], principal=NO_SCOPES)
    assert b'"data"' not in refused


async def test_totals_stay_right_through_all_that_can_happen_to_them() -> None:
    """Reads, writes, failures, time and midnight, with totals kept and corrected in between."""
    harness = GatewayHarness()
    with without_early_refresh():
        await compare_totals(harness)
        for number in (0, 1, 5, 0):
            harness.now += timedelta(seconds=3)
            harness.provider.offset += 11
            await harness.send(harness.compiled, READ_TODAY, {"id": f"a{number}"})
            await compare_totals(harness)
        await harness.write("a1")
        await compare_totals(harness)
        for seconds, failing in ((20, set()), (15, {"a0"}), (40, {"a1", "a7"}), (4000, set())):
            harness.now += timedelta(seconds=seconds)
            harness.provider.failing_ids = failing
            harness.provider.offset += 7
            await compare_totals(harness)
        for zone in map(ZoneInfo, ZONES):
            # Midnight there, while the values of the former day are kept.
            harness.now = day_end_exclusive(today(harness.now, zone), zone) - timedelta(seconds=2)
            await compare_totals(harness)
            harness.now += timedelta(seconds=3)
            await compare_totals(harness)


async def test_one_change_corrects_kept_totals_without_adding_all_up(monkeypatch) -> None:
    harness = GatewayHarness()
    for _ in range(4):
        await harness.send(harness.compiled, DOCUMENTS[4])
        harness.now += timedelta(seconds=1)
    harness.provider.offset += 5
    await harness.send(
        harness.compiled, READ_TODAY.replace("(max", '(asOf: "2026-05-07", max'), {"id": "a0"}
    )
    monkeypatch.delattr(current_totals, "sum_rows")

    corrected = await harness.send(harness.compiled, DOCUMENTS[4])

    assert corrected == await harness.send(harness.graphql_core, DOCUMENTS[4])


async def test_kept_rows_and_totals_are_bounded(monkeypatch) -> None:
    monkeypatch.setattr(total_rows, "KEPT_ROWS_MAX", 20)
    monkeypatch.setattr(kept_totals, "KEPT_ACCOUNTS_MAX", 20)
    harness = GatewayHarness()
    with without_early_refresh():
        for _ in range(4):
            await compare_totals(harness)
            harness.now += timedelta(seconds=1)

    parts = harness.compiled._kept_parts
    assert parts is not None
    assert 0 < len(parts.totals.rows) <= 20
    assert 0 < sum(len(each.rows) for each in parts.totals._kept.values()) <= 20
