"""Cached reads: what is handed out at which age, to whom."""

from datetime import timedelta
from typing import Any

import pytest

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
from balance_gateway.ports.reads import (
    OnStale,
)
from tests.pipeline.fakes import TODAY, World, ledger_of, state_of, turns

DOWN = ProviderUnavailable("It is down.", retry_after_s=3)
YESTERDAY = TODAY - timedelta(days=1)


async def test_the_first_read_is_live_and_the_second_costs_nothing(world: World) -> None:
    first = await world.read()

    world.time.advance(10)
    second = await world.read()

    assert (state_of(first), state_of(second)) == ("live", "cached")
    assert first.value == second.value
    assert len(world.provider.calls) == 1


async def test_a_value_is_as_old_as_the_start_of_the_call_that_read_it(world: World) -> None:
    started_at = world.time.clock()

    async def slowly() -> None:
        world.time.advance(5)

    world.provider.wait = slowly
    live = await world.read()
    cached = await world.read()

    assert live.observed_at == cached.observed_at == started_at


# A value is fresh for 30 s, and served for 1,000 s while its provider is down.
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
async def test_age_and_demand_decide_what_is_served(
    world: World, age_s: float, max_age_s: int | None, up: str, down: str
) -> None:
    await world.read()
    world.time.advance(age_s)

    world.provider.failing = DOWN
    when_down = await world.read(max_age_s=max_age_s)
    await turns()
    world.provider.failing = None
    when_up = await world.read(max_age_s=max_age_s)

    assert state_of(when_down) == down
    assert state_of(when_up) == up


async def test_a_stale_value_tells_its_age_and_the_reason(world: World) -> None:
    first = await world.read()
    world.time.advance(100)
    world.provider.failing = DOWN

    stale = await world.read()

    assert (stale.value, stale.observed_at) == (first.value, first.observed_at)
    assert stale.stale_reason == "It is down."


async def test_whoever_wants_no_stale_value_gets_an_error_that_says_why(world: World) -> None:
    await world.read()
    world.time.advance(100)
    world.provider.failing = DOWN

    refused = await world.read(on_stale=OnStale.ERROR)

    assert state_of(refused) == "TOO_STALE"
    assert "100 s old" in refused.message
    assert "It is down." in refused.message
    assert refused.retry_after_s == 3
    assert (refused.account_id, refused.provider) == ("acct_a", "LIGHT")


async def test_whoever_wants_no_stale_value_gets_the_failure_when_nothing_is_kept(
    world: World,
) -> None:
    world.provider.failing = DOWN

    refused = await world.read(on_stale=OnStale.ERROR)

    assert state_of(refused) == "PROVIDER_UNAVAILABLE"
    assert (refused.account_id, refused.provider) == ("acct_a", "LIGHT")


async def test_whoever_wants_no_stale_value_takes_a_fresh_one(world: World) -> None:
    await world.read()
    world.provider.failing = DOWN

    fresh = await world.read(on_stale=OnStale.ERROR)

    assert state_of(fresh) == "cached"


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
async def test_a_kept_value_stands_in_for_a_provider_that_failed_not_for_one_that_said_no(
    world: World, failure: Exception, served: str
) -> None:
    await world.read()
    world.time.advance(100)
    world.provider.failing = failure

    answer = await world.read()

    assert state_of(answer) == served


async def test_past_days_and_opening_balances_live_longer(world: World) -> None:
    account = world.accounts[0]
    await world.read(as_of=YESTERDAY, is_today=False)
    await world.reads.opening_balances([account])

    world.time.advance(400)
    yesterday = await world.read(as_of=YESTERDAY, is_today=False)
    world.time.advance(300)
    yesterday_later = await world.read(as_of=YESTERDAY, is_today=False)
    (opening,) = await world.reads.opening_balances([account])

    assert (state_of(yesterday), state_of(yesterday_later)) == ("cached", "live")
    assert state_of(opening) == "cached"
    assert world.provider.opening_calls == 1


async def test_days_and_opening_balances_are_kept_apart(world: World) -> None:
    await world.read()
    world.provider.value = 200

    yesterday = await world.read(as_of=YESTERDAY, is_today=False)
    today = await world.read()
    (opening,) = await world.reads.opening_balances([world.accounts[0]])

    assert (ledger_of(yesterday), ledger_of(today)) == (200, 100)
    assert opening.value == world.provider.opening


async def test_that_no_opening_balance_is_set_is_kept_too(world: World) -> None:
    world.provider.opening = None

    answers = [await world.reads.opening_balances([world.accounts[0]]) for _ in range(2)]

    assert [(one.value, state_of(one)) for (one,) in answers] == [(None, "live"), (None, "cached")]
    assert world.provider.opening_calls == 1


async def test_an_opening_balance_is_served_stale_and_a_missing_route_is_not_excused(
    world: World,
) -> None:
    await world.reads.opening_balances(world.accounts[:1])
    world.time.advance(500)
    world.provider.failing = DOWN
    (fresh,) = await world.reads.opening_balances(world.accounts[:1])

    world.provider.failing = Unsupported("There is no route.")
    (other,) = await world.reads.opening_balances(world.accounts[1:2])

    assert state_of(fresh) == "cached"
    assert state_of(other) == "UNSUPPORTED_BY_PROVIDER"


@pytest.mark.parametrize("failure", [DOWN, BadInput("no"), KeyError("defect"), TimeoutError()])
async def test_errors_are_never_kept(world: World, failure: Any) -> None:
    world.provider.failures = [failure]

    failed = await world.read()
    again = await world.read()

    assert isinstance(failed, GatewayError)
    assert state_of(again) == "live"
    assert len(world.provider.calls) == 2


async def test_a_failure_does_not_push_out_the_value_that_is_kept(world: World) -> None:
    await world.read()
    world.time.advance(100)
    world.provider.failing = DOWN
    await world.read()

    world.time.advance(100)
    still = await world.read()

    assert state_of(still) == "stale"


async def test_nothing_asked_for_is_nothing_answered(world: World) -> None:
    answers = await world.reads.balances([])

    assert list(answers) == []


async def test_the_normal_balance_is_asked_for_and_its_failure_is_located(world: World) -> None:
    side = await world.reads.normal_balance(world.accounts[0])
    world.provider.failing = DOWN

    with pytest.raises(ProviderUnavailable) as caught:
        await world.reads.normal_balance(world.accounts[0])

    assert side.value == "credit"
    assert (caught.value.account_id, caught.value.provider) == ("acct_a", "LIGHT")
    assert DOWN.account_id is None
