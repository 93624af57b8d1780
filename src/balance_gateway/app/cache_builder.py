"""Build the cache from its settings: fences, stores and leases, in memory or in Redis."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from balance_gateway.app.computed_on_use import ComputedOnUse
from balance_gateway.app.write_deadlines import compute_effect_window_s, compute_hold_s
from balance_gateway.config.settings import CacheSettings, ConfiguredConnector, Settings
from balance_gateway.domain.accounts import Account
from balance_gateway.domain.calendar_days import Clock
from balance_gateway.pipeline.cache.cache_entry_rules import Lifetimes
from balance_gateway.pipeline.cache.cache_keys import (
    AccountKeys,
    compute_account_keys,
    compute_remote_key,
)
from balance_gateway.pipeline.cache.cache_store import LocalStore, MemoryStore, NoStore, RedisStore
from balance_gateway.pipeline.cache.fence import Fences, MemoryFences
from balance_gateway.pipeline.cache.redis_fence import RedisFences
from balance_gateway.pipeline.cache.upstream_leases import NoLeases, RedisLeases, UpstreamLeases
from balance_gateway.pipeline.redis_client import RedisClient
from balance_gateway.ports.write_journal import WriteJournal
from balance_gateway.providers.registry import PROVIDERS


@dataclass(frozen=True, slots=True)
class CacheComponents:
    """The parts of the cache.

    Attributes:
        fences: the write fences.
        values: the store of cached values.
        claims: the leases of upstream calls.
        link: the Redis client; None when everything is in memory.
    """

    fences: Fences
    values: LocalStore | RedisStore
    claims: UpstreamLeases
    link: RedisClient | None = None


def build_cache(
    settings: Settings, has_unsettled_writes: Callable[[], Awaitable[bool]]
) -> CacheComponents:
    """Build the cache; Redis is connected to on first use.

    Args:
        settings: the gateway's settings.
        has_unsettled_writes: returns whether the write journal has a write that may still take
            effect.
    """
    cache = settings.cache
    hold_s = compute_hold_s(settings)
    url = cache.url.reveal()
    values: LocalStore
    if url.startswith("memory"):
        values = MemoryStore(cache.entries_max) if cache.enabled else NoStore()
        return CacheComponents(MemoryFences(hold_s), values, NoLeases())
    redis = RedisClient.open(url)
    fences = RedisFences(redis, hold_s, has_unsettled_writes)
    return CacheComponents(fences, _build_redis_store(redis, cache), RedisLeases(redis), redis)


def with_lifetimes(components: CacheComponents, cache: CacheSettings) -> CacheComponents:
    """Return the parts with a store that keeps values for the lifetimes of other settings."""
    if components.link is None:
        # In memory, values are kept until there are too many.
        return components
    return replace(components, values=_build_redis_store(components.link, cache))


def _build_redis_store(redis: RedisClient, cache: CacheSettings) -> NoStore | RedisStore:
    return RedisStore(redis, build_lifetimes(cache).retention_s) if cache.enabled else NoStore()


def build_unsettled_check(
    get_settings: Callable[[], Settings], journal: WriteJournal, clock: Clock
) -> Callable[[], Awaitable[bool]]:
    """Build the check whether a write that was begun may still take effect at a provider.

    Args:
        get_settings: returns the settings that are in use.
        journal: lists the writes.
        clock: returns the current time.
    """

    async def has_unsettled_writes() -> bool:
        window = timedelta(seconds=compute_effect_window_s(get_settings()))
        return bool(await journal.unsettled_since(clock() - window))

    return has_unsettled_writes


def build_lifetimes(cache: CacheSettings) -> Lifetimes:
    """Return how long values are fresh, and how old a stale value may be."""
    return Lifetimes(
        today_s=cache.today_ttl_s,
        other_days_s=cache.past_ttl_s,
        opening_balance_s=cache.opening_balance_ttl_s,
        stale_s=cache.stale_ttl_s,
        bank_feed_s=cache.bank_feed_ttl_s,
        stale_patience_s=cache.stale_patience_s,
    )


def name_remote_account(account: Account) -> str:
    """Return the name of the account at its provider; see ``cache_keys.compute_remote_key``."""
    return compute_remote_key(account, PROVIDERS[account.provider])


def build_account_keys(settings: Settings) -> Mapping[str, AccountKeys]:
    """Return the cache keys of every account, by account id; each is computed on its first use."""
    accounts = {account.id: account for account in settings.accounts}
    shapes = {connector.name: _describe_shape(connector) for connector in settings.connectors}

    def compute(account_id: str) -> AccountKeys:
        account = accounts[account_id]
        return compute_account_keys(account, PROVIDERS[account.provider], shapes[account.connector])

    return ComputedOnUse(accounts, compute)


def build_remote_accounts(settings: Settings) -> Mapping[str, str]:
    """Return the accounts' names at their providers, by account id; see ``build_account_keys``."""
    accounts = {account.id: account for account in settings.accounts}
    return ComputedOnUse(accounts, lambda account_id: name_remote_account(accounts[account_id]))


def build_remote_renames(settings: Settings) -> Mapping[str, str]:
    """Map the journal's names of accounts by ids as written in the file to the canonical names.

    Earlier releases recorded writes under the ids as they were written.
    """
    renames = {}
    for account in settings.accounts:
        if account.id in settings.written_ids:
            spec = PROVIDERS[account.provider]
            written = replace(account, remote=settings.written_ids[account.id])
            old, new = compute_remote_key(written, spec), compute_remote_key(account, spec)
            if old != new:
                renames[old] = new
    return renames


def _describe_shape(connector: ConfiguredConnector) -> Mapping[str, str]:
    """Return the settings that change the connector's responses, as texts by name."""
    names = PROVIDERS[connector.provider].response_settings
    return {name: str(getattr(connector.settings, name)) for name in names}
