"""Retries: the failures that are retrying, the pauses between attempts, and the budget."""

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
from balance_gateway.ports.call_context import set_call_context
from tests.pipeline.fakes import TODAY, FakeProvider, account
from tests.pipeline.virtual_time import VirtualTime

Call = Callable[[RetryingProvider], Awaitable[Any]]
ACCOUNT = account()
QUERY = BalanceQuery(ACCOUNT, TODAY)
WRITE = OpeningBalanceWrite(ACCOUNT, Money(1, "EUR"), None)
READS: dict[str, Call] = {
    "balances": lambda provider: provider.balances([QUERY]),
    "opening balance": lambda provider: provider.opening_balance(ACCOUNT),
    "normal balance": lambda provider: provider.normal_balance(ACCOUNT),
}


@pytest.fixture
def inner() -> FakeProvider:
    return FakeProvider()


@pytest.fixture
def retrying(inner: FakeProvider, time: VirtualTime) -> RetryingProvider:
    return RetryingProvider(inner, RetryBudget(time.monotonic))


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize("failure", [ProviderUnavailable("x"), ProviderRateLimited("x")])
async def test_a_read_is_retried_after_a_quick_failure(
    inner: FakeProvider, retrying: RetryingProvider, read: Call, failure: Exception
) -> None:
    inner.failures = [failure, failure, None]

    await read(retrying)

    assert len(inner.priorities) == 3


async def test_a_read_fails_after_the_third_attempt(
    inner: FakeProvider, retrying: RetryingProvider
) -> None:
    inner.failing = ProviderUnavailable("x")

    with pytest.raises(ProviderUnavailable):
        await retrying.balances([QUERY])

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
async def test_other_failures_are_not_retried(
    inner: FakeProvider, retrying: RetryingProvider, read: Call, failure: Exception
) -> None:
    inner.failing = failure

    with pytest.raises(type(failure)):
        await read(retrying)

    assert len(inner.priorities) == 1


@pytest.mark.parametrize("failure", [ProviderUnavailable("x"), ProviderRateLimited("x")])
async def test_writes_and_probes_are_never_retried(
    inner: FakeProvider, retrying: RetryingProvider, failure: Exception
) -> None:
    inner.failing = failure

    with pytest.raises(type(failure)):
        await retrying.set_opening_balance(WRITE)
    with pytest.raises(type(failure)):
        await retrying.probe()

    assert inner.writes == [WRITE]
    assert inner.probes == 1


async def test_the_pauses_are_short(
    inner: FakeProvider, retrying: RetryingProvider, time: VirtualTime
) -> None:
    inner.failures = [ProviderUnavailable("x"), ProviderUnavailable("x"), None]
    started_s = time.monotonic()

    await retrying.balances([QUERY])

    assert 0 < time.monotonic() - started_s <= 0.1 + 0.2


@pytest.mark.parametrize(
    ("failure", "max_wait_s", "waited_s", "calls"),
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
async def test_retry_after_is_followed_or_the_read_fails_at_once(
    inner: FakeProvider,
    retrying: RetryingProvider,
    time: VirtualTime,
    failure: Exception,
    max_wait_s: float,
    waited_s: float,
    calls: int,
) -> None:
    """Every read once waited for a circuit breaker's pause of half a minute."""
    inner.failures = [failure, None]
    set_call_context(max_wait_s=max_wait_s)
    started_s = time.monotonic()

    try:
        await retrying.balances([QUERY])
    except type(failure):
        assert calls == 1

    assert len(inner.calls) == calls
    assert time.monotonic() - started_s == pytest.approx(waited_s)


async def test_an_outage_causes_no_retry_storm(
    inner: FakeProvider, retrying: RetryingProvider
) -> None:
    inner.failing = ProviderUnavailable("x", retry_after_s=0.0)

    for _ in range(100):
        with pytest.raises(ProviderUnavailable):
            await retrying.balances([QUERY])

    # The initial ten retries, and one for every five first attempts.
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


async def test_everything_else_is_delegated(
    inner: FakeProvider, retrying: RetryingProvider
) -> None:
    group = retrying.balance_group(QUERY)

    await retrying.aclose()

    assert group == (ACCOUNT.id, TODAY)
    assert inner.closed
    assert (retrying.kind, retrying.connector) == (inner.kind, inner.connector)
    assert retrying.capabilities is inner.capabilities
