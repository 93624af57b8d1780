"""Reads of opening balances are reported with the time at which they began."""

from datetime import datetime

import pytest

from balance_gateway.domain.accounts import Account
from balance_gateway.domain.balances import OpeningBalance
from balance_gateway.domain.errors import ProviderTimeout
from balance_gateway.pipeline.calls.observed_opening_balances import ObservedOpeningBalances
from tests.pipeline.fakes import FakeProvider, account, opening
from tests.pipeline.virtual_time import virtual_time


class Observer:
    """Keeps what was reported."""

    def __init__(self) -> None:
        self.seen: list[tuple[Account, OpeningBalance | None, datetime]] = []

    def observe(self, account: Account, found: OpeningBalance | None, began_at: datetime) -> None:
        self.seen.append((account, found, began_at))


async def test_a_read_is_reported_with_its_begin_and_a_failed_one_is_not() -> None:
    with virtual_time() as time:
        provider, observer = FakeProvider(), Observer()
        provider.opening = opening(7)
        observed = ObservedOpeningBalances(provider, observer, time.clock)
        began_at, read = time.clock(), account()

        found = await observed.opening_balance(read)
        provider.failing = ProviderTimeout("It hangs.")
        with pytest.raises(ProviderTimeout):
            await observed.opening_balance(read)

    assert observer.seen == [(read, found, began_at)]
