"""Cached reads: which value is served, by its age and the reader's demands."""

from datetime import timedelta
from typing import Any

import pytest

from balance_gateway.domain.balances import OpeningBalanceSource
from balance_gateway.domain.errors import (
    BadInput,
    GatewayError,
    Internal,
    ProviderBadResponse,
    ProviderCredentialsRejected,
    ProviderRateLimited,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
    Unsupported,
)
from balance_gateway.ports.reads import OnStale
from tests.pipeline.fakes import (
    TODAY,
    CacheHarness,
    account,
    get_state,
    ledger_minor_units,
    opening,
    run_pending_tasks,
)

DOWN = ProviderUnavailable("It is down.", retry_after_s=3)
YESTERDAY = TODAY - timedelta(days=1)


async def test_the_first_read_is_live_and_the_second_is_cached(harness: CacheHarness) -> None:
    first = await harness.read()

    harness.time.advance(10)
    second = await harness.read()

    assert (get_state(first), get_state(second)) == ("live", "cached")
    assert first.value == second.value
    assert len(harness.provider.calls) == 1


async def test_a_value_is_dated_at_the_start_of_its_call(harness: CacheHarness) -> None:
    started_at = harness.time.clock()

    async def slowly() -> None:
        harness.time.advance(5)

    harness.provider.wait = slowly
    live = await harness.read()
    cached = await harness.read()

    assert live.observed_at == cached.observed_at == started_at


# A value is fresh for 30 s, and served stale up to 1,000 s while its provider is down.
@pytest.mark.parametrize(
    ("age_s", "max_age_s", "up", "down"),
    [
        (5, None, "cached", "cached"),
        (29.5, None, "cached", "cached"),
        (30, None, "live", "stale"),
        (1000, None, "live", "stale"),
        (1000.5, None, "live", "PROVIDER_UNAVAILABLE"),
        (5, 6, "cached", "cached"),
        (5, 5, "live", "stale"),
        (0, 0, "live", "stale"),
        (0, 1, "cached", "cached"),
        (31, 100, "live", "stale"),
        (29, 100, "cached", "cached"),
    ],
)
async def test_age_and_max_age_decide_which_value_is_served(
    harness: CacheHarness, age_s: float, max_age_s: int | None, up: str, down: str
) -> None:
    await harness.read()
    harness.time.advance(age_s)

    harness.provider.failing = DOWN
    when_down = await harness.read(max_age_s=max_age_s)
    await run_pending_tasks()
    harness.provider.failing = None
    when_up = await harness.read(max_age_s=max_age_s)

    assert get_state(when_down) == down
    assert get_state(when_up) == up


async def test_a_stale_value_has_its_age_and_the_reason(harness: CacheHarness) -> None:
    first = await harness.read()
    harness.time.advance(100)
    harness.provider.failing = DOWN

    stale = await harness.read()

    assert (stale.value, stale.observed_at) == (first.value, first.observed_at)
    assert stale.stale_reason == "It is down."


async def test_on_stale_error_returns_too_stale_with_the_reason(harness: CacheHarness) -> None:
    await harness.read()
    harness.time.advance(100)
    harness.provider.failing = DOWN

    refused = await harness.read(on_stale=OnStale.ERROR)

    assert get_state(refused) == "TOO_STALE"
    assert "100 s old" in refused.message
    assert "It is down." in refused.message
    assert refused.retry_after_s == 3
    assert (refused.account_id, refused.provider) == ("acct_a", "LIGHT")


async def test_on_stale_error_returns_the_failure_when_nothing_is_cached(
    harness: CacheHarness,
) -> None:
    harness.provider.failing = DOWN

    refused = await harness.read(on_stale=OnStale.ERROR)

    assert get_state(refused) == "PROVIDER_UNAVAILABLE"
    assert (refused.account_id, refused.provider) == ("acct_a", "LIGHT")


async def test_on_stale_error_accepts_a_fresh_value(harness: CacheHarness) -> None:
    await harness.read()
    harness.provider.failing = DOWN

    fresh = await harness.read(on_stale=OnStale.ERROR)

    assert get_state(fresh) == "cached"


@pytest.mark.parametrize(
    ("failure", "served"),
    [
        (ProviderUnavailable("x"), "stale"),
        (ProviderTimeout("x"), "stale"),
        (ProviderRateLimited("x"), "stale"),
        (ProviderCredentialsRejected("x"), "stale"),
        (ProviderBadResponse("x"), "stale"),
        (TimeoutError(), "stale"),
        (ProviderRejected("x"), "PROVIDER_REJECTED"),
        (BadInput("x"), "BAD_USER_INPUT"),
        (Unsupported("x"), "UNSUPPORTED_BY_PROVIDER"),
        (Internal("x"), "INTERNAL"),
        (KeyError("a defect"), "INTERNAL"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
async def test_a_stale_value_replaces_failures_but_not_rejections(
    harness: CacheHarness, failure: Exception, served: str
) -> None:
    await harness.read()
    harness.time.advance(100)
    harness.provider.failing = failure

    answer = await harness.read()

    assert get_state(answer) == served


async def test_past_days_and_opening_balances_are_fresh_for_longer(harness: CacheHarness) -> None:
    account = harness.accounts[0]
    await harness.read(as_of=YESTERDAY, is_today=False)
    await harness.reads.opening_balances([account])

    harness.time.advance(400)
    yesterday = await harness.read(as_of=YESTERDAY, is_today=False)
    harness.time.advance(300)
    yesterday_later = await harness.read(as_of=YESTERDAY, is_today=False)
    (opening,) = await harness.reads.opening_balances([account])

    assert (get_state(yesterday), get_state(yesterday_later)) == ("cached", "live")
    assert get_state(opening) == "cached"
    assert harness.provider.opening_calls == 1


async def test_days_and_opening_balances_are_cached_separately(harness: CacheHarness) -> None:
    await harness.read()
    harness.provider.value = 200

    yesterday = await harness.read(as_of=YESTERDAY, is_today=False)
    today = await harness.read()
    (opening,) = await harness.reads.opening_balances([harness.accounts[0]])

    assert (ledger_minor_units(yesterday), ledger_minor_units(today)) == (200, 100)
    assert opening.value == harness.provider.opening


async def test_a_missing_opening_balance_is_cached_too(harness: CacheHarness) -> None:
    harness.provider.opening = None

    answers = [await harness.reads.opening_balances([harness.accounts[0]]) for _ in range(2)]

    assert [(one.value, get_state(one)) for (one,) in answers] == [(None, "live"), (None, "cached")]
    assert harness.provider.opening_calls == 1


async def test_an_unsupported_opening_balance_is_never_served_stale(
    harness: CacheHarness,
) -> None:
    await harness.reads.opening_balances(harness.accounts[:1])
    harness.time.advance(500)
    harness.provider.failing = DOWN
    (fresh,) = await harness.reads.opening_balances(harness.accounts[:1])

    harness.provider.failing = Unsupported("There is no route.")
    (other,) = await harness.reads.opening_balances(harness.accounts[1:2])

    assert get_state(fresh) == "cached"
    assert get_state(other) == "UNSUPPORTED_BY_PROVIDER"


@pytest.mark.parametrize("failure", [DOWN, BadInput("no"), KeyError("defect"), TimeoutError()])
async def test_errors_are_never_cached(harness: CacheHarness, failure: Any) -> None:
    harness.provider.failures = [failure]

    failed = await harness.read()
    again = await harness.read()

    assert isinstance(failed, GatewayError)
    assert get_state(again) == "live"
    assert len(harness.provider.calls) == 2


async def test_a_failure_keeps_the_cached_value(harness: CacheHarness) -> None:
    await harness.read()
    harness.time.advance(100)
    harness.provider.failing = DOWN
    await harness.read()

    harness.time.advance(100)
    still = await harness.read()

    assert get_state(still) == "stale"


async def test_no_requests_return_no_results(harness: CacheHarness) -> None:
    answers = await harness.reads.balances([])

    assert list(answers) == []


async def test_a_normal_balance_failure_names_its_account(harness: CacheHarness) -> None:
    side = await harness.reads.normal_balance(harness.accounts[0])
    harness.provider.failing = DOWN

    with pytest.raises(ProviderUnavailable) as caught:
        await harness.reads.normal_balance(harness.accounts[0])

    assert side.value == "credit"
    assert (caught.value.account_id, caught.value.provider) == ("acct_a", "LIGHT")
    assert DOWN.account_id is None


async def test_a_recorded_opening_balance_is_cached_since_it_was_recorded(
    harness: CacheHarness,
) -> None:
    """It was once LIVE, because the journal had just been read."""
    recorded_at = harness.time.clock() - timedelta(days=3)
    recorded = OpeningBalanceSource.RECORDED_BY_GATEWAY
    harness.provider.opening = opening(42, source=recorded, recorded_at=recorded_at)

    results = [(await harness.reads.opening_balances([account()]))[0] for _ in range(2)]

    assert [(get_state(one), one.observed_at) for one in results] == [("cached", recorded_at)] * 2
    # Its age does not keep it from being cached.
    assert harness.provider.opening_calls == 1
