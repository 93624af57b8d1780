"""Retried reads: what is tried again, how long that takes, and what never is."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from balance_gateway.domain.balances import BalanceQuery, OpeningBalanceWrite
from balance_gateway.domain.errors import (
    BadInput,
    CircuitOpen,
    ProviderBadResponse,
    ProviderCredentialsRejected,
    ProviderRateLimited,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
    ProviderUntrusted,
    Unsupported,
)
from balance_gateway.domain.money import Money
from balance_gateway.pipeline.calls.retrying_provider import RetryBudget, RetryingProvider
from balance_gateway.ports.call_context import (
    set_call_context,
)
from tests.pipeline.fakes import TODAY, FakeProvider, account
from tests.pipeline.virtual_time import VirtualTime

Act = Callable[[RetryingProvider], Awaitable[Any]]
ACCOUNT = account()
QUERY = BalanceQuery(ACCOUNT, TODAY)
WRITE = OpeningBalanceWrite(ACCOUNT, Money(1, "EUR"), None)
READS: dict[str, Act] = {
    "balances": lambda provider: provider.balances([QUERY]),
    "opening balance": lambda provider: provider.opening_balance(ACCOUNT),
    "normal balance": lambda provider: provider.normal_balance(ACCOUNT),
}


@pytest.fixture
def inner() -> FakeProvider:
    return FakeProvider()


@pytest.fixture
def retried(inner: FakeProvider, time: VirtualTime) -> RetryingProvider:
    return RetryingProvider(inner, RetryBudget(time.monotonic))


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize("failure", [ProviderUnavailable("x"), ProviderRateLimited("x")])
async def test_a_read_that_failed_quickly_is_tried_again(
    inner: FakeProvider, retried: RetryingProvider, read: Act, failure: Exception
) -> None:
    inner.failures = [failure, failure, None]

    await read(retried)

    assert len(inner.moods) == 3


async def test_a_third_failure_is_the_last(inner: FakeProvider, retried: RetryingProvider) -> None:
    inner.failing = ProviderUnavailable("x")

    with pytest.raises(ProviderUnavailable):
        await retried.balances([QUERY])

    assert len(inner.calls) == 3


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize(
    "failure",
    [
        ProviderTimeout("x"),
        ProviderRejected("x"),
        ProviderBadResponse("x"),
        ProviderCredentialsRejected("x"),
        BadInput("x"),
        Unsupported("x"),
        TimeoutError(),
        KeyError("x"),
    ],
    ids=lambda failure: type(failure).__name__ if isinstance(failure, Exception) else "",
)
async def test_any_other_failure_is_not(
    inner: FakeProvider, retried: RetryingProvider, read: Act, failure: Exception
) -> None:
    inner.failing = failure

    with pytest.raises(type(failure)):
        await read(retried)

    assert len(inner.moods) == 1


@pytest.mark.parametrize("failure", [ProviderUnavailable("x"), ProviderRateLimited("x")])
async def test_a_write_is_never_sent_again(
    inner: FakeProvider, retried: RetryingProvider, failure: Exception
) -> None:
    inner.failing = failure

    with pytest.raises(type(failure)):
        await retried.set_opening_balance(WRITE)
    with pytest.raises(type(failure)):
        await retried.probe()

    assert inner.writes == [WRITE]
    assert inner.probes == 1


async def test_the_pauses_are_short_and_grow(
    inner: FakeProvider, retried: RetryingProvider, time: VirtualTime
) -> None:
    inner.failures = [ProviderUnavailable("x"), ProviderUnavailable("x"), None]
    started_s = time.monotonic()

    await retried.balances([QUERY])

    assert 0 < time.monotonic() - started_s <= 0.1 + 0.2


@pytest.mark.parametrize(
    ("failure", "patience", "waited_s", "calls"),
    [
        (ProviderRateLimited("x", retry_after_s=7), 10.0, 7.0, 2),
        (ProviderRateLimited("x", retry_after_s=10), 10.0, 10.0, 2),
        (ProviderRateLimited("x", retry_after_s=11), 10.0, 0.0, 1),
        (ProviderRateLimited("x", retry_after_s=1), 0.0, 0.0, 1),
        (ProviderUnavailable("x", retry_after_s=1), 0.0, 0.0, 1),
        (ProviderUnavailable("x", retry_after_s=1), 1.0, 1.0, 2),
        (CircuitOpen("x", retry_after_s=1), 30.0, 0.0, 1),
        (CircuitOpen("x"), 30.0, 0.0, 1),
        (ProviderUntrusted("x"), 30.0, 0.0, 1),
        (ProviderUnavailable("x", retry_after_s=2), 30.0, 2.0, 2),
        (ProviderUnavailable("x", retry_after_s=3), 30.0, 0.0, 1),
    ],
)
async def test_the_providers_own_wish_is_followed_or_the_read_fails_at_once(
    inner: FakeProvider,
    retried: RetryingProvider,
    time: VirtualTime,
    failure: Exception,
    patience: float,
    waited_s: float,
    calls: int,
) -> None:
    """A breaker's pause of half a minute was once waited for by every read."""
    inner.failures = [failure, None]
    set_call_context(max_wait_s=patience)
    started_s = time.monotonic()

    try:
        await retried.balances([QUERY])
    except type(failure):
        assert calls == 1

    assert len(inner.calls) == calls
    assert time.monotonic() - started_s == pytest.approx(waited_s)


async def test_an_outage_is_not_met_with_a_storm(
    inner: FakeProvider, retried: RetryingProvider
) -> None:
    inner.failing = ProviderUnavailable("x", retry_after_s=0.0)

    for _ in range(100):
        with pytest.raises(ProviderUnavailable):
            await retried.balances([QUERY])

    # Ten in hand at first, and a fifth of the first attempts.
    assert 100 + 10 < len(inner.calls) <= 100 + 10 + 20


async def test_a_retry_budget_earns_with_time_and_is_bounded(time: VirtualTime) -> None:
    budget = RetryBudget(time.monotonic)
    spent = sum(budget.spend() for _ in range(50))

    time.advance(3)
    budget.earn()
    earned = sum(budget.spend() for _ in range(50))
    time.advance(1000)
    budget.earn()
    most = sum(budget.spend() for _ in range(50))

    assert (spent, earned, most) == (10, 3, 10)


async def test_the_rest_is_the_providers_own(
    inner: FakeProvider, retried: RetryingProvider
) -> None:
    group = retried.balance_group(QUERY)

    await retried.aclose()

    assert group == (ACCOUNT.id, TODAY)
    assert inner.closed
    assert (retried.kind, retried.connector) == (inner.kind, inner.connector)
    assert retried.capabilities is inner.capabilities
