"""Totals that are kept or corrected say the same as new ones."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest

from balance_gateway.domain.accounts import Account
from balance_gateway.domain.bank_feeds import BankFeed
from tests.api.compiled.gateway_harness import START, FiguresProvider, GatewayHarness

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
    for _ in range(3):
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
