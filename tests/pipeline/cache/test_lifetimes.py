"""The rules of a cached value's lifetime, at their boundaries."""

from dataclasses import replace

import pytest

from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.errors import (
    BadInput,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
)
from balance_gateway.pipeline.cache.cache_entry_rules import (
    CachedRead,
    CacheLookup,
    Lifetimes,
    ValueKind,
    allows_stale,
    attach_account,
    build_balance_read,
    build_feed_read,
    build_opening_read,
    build_pending_key,
    find_cached_result,
    needs_refresh,
    refresh_due_s,
)
from balance_gateway.pipeline.cache.cache_keys import AccountKeys, compute_account_keys
from balance_gateway.pipeline.cache.cache_store import CacheEntry
from balance_gateway.pipeline.cache.fence import FenceState, MemoryFences
from balance_gateway.providers.registry import PROVIDERS
from tests.pipeline.fakes import account, opening, request
from tests.pipeline.virtual_time import VirtualTime

LIFETIMES = Lifetimes(today_s=30, other_days_s=60, opening_balance_s=90, stale_s=1000)
ENTRY = CacheEntry("n", observed_at_s=5000.0, fresh_for_s=100.0, value=opening(1))


def make_keys() -> AccountKeys:
    return compute_account_keys(account(), PROVIDERS[ProviderKind.LIGHT], {})


def make_read(**changes: object) -> CachedRead:
    return build_balance_read(request(account(), **changes), make_keys(), LIFETIMES)


def test_each_kind_of_value_has_its_lifetime() -> None:
    kind = ValueKind.BALANCE

    assert LIFETIMES.fresh_for_s(kind, is_today=True) == 30
    assert LIFETIMES.fresh_for_s(kind) == 60
    assert LIFETIMES.fresh_for_s(ValueKind.OPENING_BALANCE, is_today=True) == 90


@pytest.mark.parametrize(
    ("lifetimes", "retention_s"),
    [
        (Lifetimes(30, 60, 90, 1000, 0), 1000),
        (Lifetimes(30, 60, 90, 0, 0), 90),
        (Lifetimes(30, 95, 90, 0, 0), 95),
        (Lifetimes(30, 60, 90, 0, 99), 99),
        (Lifetimes(0, 0, 0, 0, 0), 1.0),
    ],
)
def test_a_value_is_retained_while_it_may_be_served(
    lifetimes: Lifetimes, retention_s: float
) -> None:
    assert lifetimes.retention_s == retention_s


@pytest.mark.parametrize(
    ("age_s", "refreshed"), [(0, False), (74.9, False), (95.1, True), (99.9, True), (100, False)]
)
def test_a_value_is_refreshed_late_in_its_lifetime(age_s: float, refreshed: bool) -> None:
    results = {needs_refresh(ENTRY, ENTRY.observed_at_s + age_s) for _ in range(200)}

    assert results == {refreshed}


def test_values_of_one_age_are_not_all_refreshed_at_once() -> None:
    results = {needs_refresh(ENTRY, ENTRY.observed_at_s + 85) for _ in range(200)}

    assert results == {True, False}


def test_a_response_asks_again_at_the_earliest_refresh() -> None:
    assert refresh_due_s(5000.0, make_read()) == 5000.0 + 30 * 0.75


def test_the_kinds_are_labels_of_metrics() -> None:
    opening_read = build_opening_read(account(), make_keys(), LIFETIMES)
    feed_read = build_feed_read(account(), make_keys(), LIFETIMES)

    assert make_read().kind.value == "balance"
    assert opening_read.kind.value == "opening_balance"
    assert feed_read.kind.value == "bank_feed"
    assert opening_read.fresh_for_s == 90


def test_only_live_reads_share_a_key_of_their_own() -> None:
    keys = {max_age: build_pending_key(make_read(max_age_s=max_age)) for max_age in (None, 0, 1)}

    assert keys[None] == keys[1] != keys[0]


@pytest.mark.parametrize(
    ("max_age_s", "lifetime_s", "age_s", "found"),
    [
        (None, 200, 99, True),
        (None, 200, 100, False),
        # The lifetime was shortened after the value was cached for 100 s.
        (None, 60, 59, True),
        (None, 60, 60, False),
        (50, 200, 49, True),
        (50, 200, 50, False),
        (200, 200, 100, False),
        (0, 200, 0, False),
    ],
)
def test_a_cached_value_is_served_below_the_lower_age(
    max_age_s: int | None, lifetime_s: float, age_s: float, found: bool
) -> None:
    lookup = CacheLookup(FenceState("n", settled=True), ENTRY)
    read = replace(make_read(max_age_s=max_age_s), fresh_for_s=lifetime_s)

    result = find_cached_result(read, lookup, ENTRY.observed_at_s + age_s)

    assert (result is not None) is found


@pytest.mark.parametrize(
    ("error", "allowed"),
    [
        (ProviderTimeout("x"), True),
        (ProviderUnavailable("x"), True),
        (ProviderRejected("x"), False),
        (BadInput("x"), False),
    ],
)
def test_a_stale_value_hides_no_rejection(error: Exception, allowed: bool) -> None:
    assert allows_stale(error) is allowed  # type: ignore[arg-type]


def test_an_error_names_its_account_and_provider() -> None:
    error = attach_account(account("acct_x"), ProviderTimeout("x"))

    assert (error.account_id, error.provider) == ("acct_x", "LIGHT")


async def test_a_hold_ends_at_its_very_instant(time: VirtualTime) -> None:
    fences = MemoryFences(40.0, time.monotonic)
    await fences.begin_write("a", "w1")

    time.advance(39.5)
    (before,) = await fences.states(["a"])
    time.advance(0.5)
    (after,) = await fences.states(["a"])

    assert (before.settled, after.settled) == (False, True)
