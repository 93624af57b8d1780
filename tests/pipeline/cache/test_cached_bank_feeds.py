"""Bank feeds: one call per business, a lifetime of their own, and never a cost for figures."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.errors import ProviderBadResponse, ProviderUnavailable
from balance_gateway.pipeline.cache.cache_keys import compute_account_keys, feed_value_key
from balance_gateway.ports.call_context import Priority, current_call
from balance_gateway.providers.registry import PROVIDERS
from tests.pipeline.fakes import FEED, CacheHarness, get_state, run_pending_tasks
from tests.pipeline.virtual_time import VirtualTime

ALL = ["acct_a", "acct_b", "acct_c", "acct_d"]


@pytest.fixture
async def harness(time: VirtualTime) -> AsyncIterator[CacheHarness]:
    """Four accounts of one business."""
    harness = CacheHarness(time, ProviderKind.ASSET, business_id="biz_1")
    yield harness
    await harness.reads.aclose()


async def read_feeds(harness: CacheHarness, *indexes: int) -> list[Any]:
    return list(await harness.reads.bank_feeds([harness.accounts[index] for index in indexes]))


async def test_one_call_serves_every_account_of_the_business(harness: CacheHarness) -> None:
    """Also those that are asked for later."""
    [first] = await read_feeds(harness, 1)
    later = await read_feeds(harness, 0, 1, 2, 3)

    assert first.value == FEED
    assert [get_state(each) for each in (first, *later)] == ["live"] + ["cached"] * 4
    assert [sorted(call) for call in harness.provider.feed_calls] == [ALL]


async def test_concurrent_readers_of_different_accounts_share_the_call(
    harness: CacheHarness,
) -> None:
    await asyncio.gather(*(read_feeds(harness, index) for index in (0, 1, 2, 3)))

    assert [sorted(call) for call in harness.provider.feed_calls] == [ALL]


async def test_businesses_are_separate_calls(time: VirtualTime) -> None:
    harness = CacheHarness(time, ProviderKind.ASSET)

    await read_feeds(harness, 0, 2)

    assert harness.provider.feed_calls == [["acct_a"], ["acct_c"]]


async def test_no_other_read_asks_for_feeds(harness: CacheHarness) -> None:
    await harness.read_all()
    await harness.reads.opening_balances(harness.accounts)

    assert harness.provider.feed_calls == []


async def test_feeds_have_a_lifetime_of_their_own(harness: CacheHarness) -> None:
    await read_feeds(harness, 0)
    harness.time.advance(299)
    [young] = await read_feeds(harness, 0)
    await run_pending_tasks()
    refreshes = len(harness.provider.feed_calls) - 1
    harness.time.advance(1)
    [expired] = await read_feeds(harness, 0)

    assert (get_state(young), refreshes, get_state(expired)) == ("cached", 0, "live")


async def test_an_account_with_an_error_costs_the_others_no_call(harness: CacheHarness) -> None:
    error = ProviderBadResponse("No such external account.")
    harness.provider.feed = lambda one: error if one.id == "acct_b" else FEED

    mixed = await read_feeds(harness, 0, 1, 2)
    await read_feeds(harness, 0, 2, 3)
    calls = len(harness.provider.feed_calls)
    await read_feeds(harness, 1)

    assert [get_state(each) for each in mixed] == ["live", "PROVIDER_BAD_RESPONSE", "live"]
    assert mixed[1].account_id == "acct_b"
    assert calls == 1
    assert harness.provider.feed_calls[1:] == [["acct_b"]]


async def test_no_link_to_a_bank_is_cached_too(harness: CacheHarness) -> None:
    harness.provider.feed = lambda _: None

    results = [*await read_feeds(harness, 0), *await read_feeds(harness, 0)]

    assert [(get_state(each), each.value) for each in results] == [("live", None), ("cached", None)]


async def test_a_failed_call_serves_the_stale_feed_and_no_retry(harness: CacheHarness) -> None:
    await read_feeds(harness, 0)
    harness.time.advance(400)
    harness.provider.failing = ProviderUnavailable("Down.")

    [stale] = await read_feeds(harness, 0)

    assert (get_state(stale), stale.value, stale.stale_reason) == ("stale", FEED, "Down.")
    assert len(harness.provider.feed_calls) == 2


async def test_calls_are_optional_and_wait_for_no_budget(harness: CacheHarness) -> None:
    contexts = []
    harness.provider.feed = lambda _: contexts.append(current_call()) or FEED

    await read_feeds(harness, 0)
    await harness.read()

    seen = {(each.priority, each.max_wait_s, each.is_optional) for each in contexts}
    assert seen == {(Priority.BACKGROUND, 0.0, True)}
    assert harness.provider.priorities[-1] == (Priority.FOREGROUND, 20.0)


async def test_a_write_drops_the_feed(harness: CacheHarness) -> None:
    """A write can change the latest balance that the provider reports."""
    await read_feeds(harness, 0)
    await harness.write(200)

    [after] = await read_feeds(harness, 0)

    assert get_state(after) == "live"


async def test_a_hanging_call_delays_no_figures(harness: CacheHarness) -> None:
    harness.provider.feed = lambda _: FEED
    balances = await harness.read_all()
    hangs = asyncio.Event()
    harness.provider.wait = hangs.wait

    feeds = asyncio.ensure_future(read_feeds(harness, 0))
    await run_pending_tasks()
    cached = await harness.read_all()

    assert not feeds.done()
    assert [get_state(each) for each in (*balances, *cached)] == ["live"] * 4 + ["cached"] * 4
    hangs.set()
    assert (await feeds)[0].value == FEED


async def test_feeds_of_a_changed_currency_are_not_found(harness: CacheHarness) -> None:
    """The cached figure is in minor units of the former currency."""
    keys = {feed_key(account) for account in harness.accounts[:1]}
    changed = replace(harness.accounts[0], currency="JPY")

    assert feed_key(changed) not in keys


def feed_key(account: Any) -> str:
    return feed_value_key(compute_account_keys(account, PROVIDERS[account.provider], {}))
