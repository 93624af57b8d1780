"""Opening balances of providers that cannot return them: the gateway's record comes first."""

from datetime import UTC, datetime
from typing import Any

import pytest

from balance_gateway.domain.accounts import Capability, Side
from balance_gateway.domain.balances import (
    BalanceQuery,
    OpeningBalance,
    OpeningBalanceSource,
    OpeningBalanceWrite,
)
from balance_gateway.domain.errors import ProviderBadResponse, ProviderTimeout, Unsupported
from balance_gateway.domain.money import Money
from balance_gateway.pipeline.calls.recorded_opening_balances import RecordedOpeningBalances
from tests.pipeline.fakes import EVERYTHING, TODAY, FakeProvider, account, opening

ACCOUNT, SAME_REMOTE = account(), account("acct_a_again")
REMOTE_ACCOUNTS = {ACCOUNT.id: "remote a", SAME_REMOTE.id: "remote a", "acct_other": "remote b"}
RECORDED = OpeningBalanceSource.RECORDED_BY_GATEWAY
RECORDED_AT = datetime(2026, 3, 1, tzinfo=UTC)


class FakeJournal:
    """The part of the journal that is used here."""

    def __init__(self) -> None:
        self.applied: dict[str, OpeningBalance | None] = {}

    async def last_applied(self, remote_account: str) -> Any:
        if remote_account not in self.applied:
            return None
        return FakeRecord(self.applied[remote_account])


class FakeRecord:
    """The part of a record that is used here."""

    def __init__(self, applied: OpeningBalance | None) -> None:
        self.applied = applied
        self.finished_at = RECORDED_AT


@pytest.fixture
def inner() -> FakeProvider:
    provider = FakeProvider()
    provider.capabilities = EVERYTHING - {Capability.READ_OPENING_BALANCE}
    return provider


@pytest.fixture
def journal() -> FakeJournal:
    return FakeJournal()


@pytest.fixture
def recorded(inner: FakeProvider, journal: FakeJournal) -> RecordedOpeningBalances:
    return RecordedOpeningBalances(inner, journal, REMOTE_ACCOUNTS)  # type: ignore[arg-type]


async def test_the_last_acknowledged_write_is_returned(
    inner: FakeProvider, journal: FakeJournal, recorded: RecordedOpeningBalances
) -> None:
    journal.applied["remote a"] = opening(42, memo="ours")

    found = await recorded.opening_balance(ACCOUNT)

    assert found == opening(42, memo="ours", source=RECORDED, recorded_at=RECORDED_AT)
    assert inner.opening_calls == 0


async def test_a_write_under_another_id_of_the_remote_account_counts(
    journal: FakeJournal, recorded: RecordedOpeningBalances
) -> None:
    """Two ids of one remote account once returned different opening balances for good."""
    journal.applied["remote a"] = opening(42)

    found = [await recorded.opening_balance(remote) for remote in (ACCOUNT, SAME_REMOTE)]

    assert found == [opening(42, source=RECORDED, recorded_at=RECORDED_AT)] * 2


async def test_the_provider_is_called_when_there_is_no_write(
    inner: FakeProvider, journal: FakeJournal, recorded: RecordedOpeningBalances
) -> None:
    journal.applied["remote b"] = opening(42)
    inner.opening = opening(5, source=OpeningBalanceSource.DERIVED)

    found = await recorded.opening_balance(ACCOUNT)

    assert found == inner.opening


async def test_an_unsupported_read_stays_unsupported(
    inner: FakeProvider, recorded: RecordedOpeningBalances
) -> None:
    inner.failing = Unsupported("No way to read it.")

    with pytest.raises(Unsupported):
        await recorded.opening_balance(ACCOUNT)


async def test_a_written_balance_is_marked_as_recorded(
    inner: FakeProvider, recorded: RecordedOpeningBalances
) -> None:
    write = OpeningBalanceWrite(ACCOUNT, Money(9, "EUR"), None)

    applied = await recorded.set_opening_balance(write)

    assert applied == opening(9, source=RECORDED)
    assert inner.writes == [write]


async def test_a_failed_write_is_sent_once_and_its_error_raised(
    inner: FakeProvider, recorded: RecordedOpeningBalances
) -> None:
    failure = ProviderTimeout("It hangs.", maybe_applied=True)
    inner.failing = failure

    with pytest.raises(ProviderTimeout) as caught:
        await recorded.set_opening_balance(OpeningBalanceWrite(ACCOUNT, Money(9, "EUR"), None))

    assert caught.value is failure
    assert len(inner.writes) == 1


async def test_everything_else_is_delegated(
    inner: FakeProvider, recorded: RecordedOpeningBalances
) -> None:
    query = BalanceQuery(ACCOUNT, TODAY)

    (figures,) = await recorded.balances([query])
    side = await recorded.normal_balance(ACCOUNT)
    await recorded.probe()
    await recorded.aclose()

    assert recorded.balance_group(query) == inner.balance_group(query)
    assert figures == inner.answer(query)
    assert side is Side.CREDIT
    assert (inner.probes, inner.closed) == (1, True)
    assert recorded.capabilities is inner.capabilities


def test_a_provider_that_can_be_read_is_rejected(journal: FakeJournal) -> None:
    with pytest.raises(AssertionError):
        RecordedOpeningBalances(FakeProvider(), journal, REMOTE_ACCOUNTS)  # type: ignore[arg-type]


@pytest.mark.parametrize("currency", ["USD", "BGN", "QQQ"])
async def test_a_recorded_value_in_another_currency_is_an_error(
    journal: FakeJournal, recorded: RecordedOpeningBalances, inner: FakeProvider, currency: str
) -> None:
    """2000.00 USD were once shown on an account in GBP, and met an expectation in GBP."""
    journal.applied["remote a"] = opening(200_000, currency)

    with pytest.raises(ProviderBadResponse, match=f"{currency}.*EUR.*set the opening balance"):
        await recorded.opening_balance(ACCOUNT)

    assert inner.opening_calls == 0
