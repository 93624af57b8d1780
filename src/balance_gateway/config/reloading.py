"""Decides which settings of a changed file are taken while the gateway runs."""

from collections.abc import Collection
from dataclasses import replace
from typing import TypeVar

from msgspec import Struct, structs

from balance_gateway.config.settings import Settings

Table = TypeVar("Table", bound=Struct)

#: The keys that a reload takes besides ``auth.api_keys``, ``connectors`` and ``accounts``.
RELOADED_SERVER_KEYS = frozenset({"cors_origins", "cors_headers"})
RELOADED_CACHE_KEYS = frozenset(
    {
        "today_ttl_s",
        "past_ttl_s",
        "opening_balance_ttl_s",
        "bank_feed_ttl_s",
        "stale_ttl_s",
        "stale_patience_s",
    }
)


def merge_reloaded(running: Settings, read: Settings) -> tuple[Settings, list[str]]:
    """Merge the settings of a file that was read again into those in use.

    Args:
        running: the settings in use.
        read: the settings of the file.

    Returns:
        The settings to use from now on, and the full names of the keys that have another value in
        the file but are only taken by a restart.
    """
    restart_keys = [
        *_list_changed("server", running.server, read.server, RELOADED_SERVER_KEYS),
        *_list_changed("storage", running.storage, read.storage, frozenset()),
        *_list_changed("cache", running.cache, read.cache, RELOADED_CACHE_KEYS),
        *(["auth.jwt"] if running.jwt != read.jwt else []),
    ]
    timeouts = [connector.settings.timeout_s for connector in running.connectors]
    settings = replace(
        read,
        server=_take(running.server, read.server, RELOADED_SERVER_KEYS),
        storage=running.storage,
        cache=_take(running.cache, read.cache, RELOADED_CACHE_KEYS),
        jwt=running.jwt,
        former_timeout_s=max([running.former_timeout_s, *timeouts]),
    )
    return settings, restart_keys


def _list_changed(name: str, running: Struct, read: Struct, reloaded: Collection[str]) -> list[str]:
    return [
        f"{name}.{key}"
        for key in running.__struct_fields__
        if key not in reloaded and getattr(running, key) != getattr(read, key)
    ]


def _take(running: Table, read: Table, reloaded: Collection[str]) -> Table:
    return structs.replace(running, **{key: getattr(read, key) for key in reloaded})
