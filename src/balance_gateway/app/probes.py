"""Build the probes of the command ``check`` from an opened gateway."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

from balance_gateway.app.cache_builder import CacheComponents
from balance_gateway.app.running_gateway import open_gateway
from balance_gateway.config.settings import Settings
from balance_gateway.domain.errors import Internal
from balance_gateway.pipeline.redis_configuration import find_risks
from balance_gateway.storage.database import Database, DatabaseError
from balance_gateway.storage.write_probe import WriteProbe


async def _probe_storage(database: Database) -> None:
    """Check that the storage, which was opened before, takes writes."""
    try:
        await WriteProbe(database).check()
    except DatabaseError as error:
        raise Internal(str(error)) from error


async def _probe_cache(cache: CacheComponents) -> str:
    """Fence nothing, and return what is unsuitable about Redis's settings."""
    await cache.fences.ping()
    return "; ".join(await find_risks(cache.link)) if cache.link is not None else ""


#: Returns what a success could not verify, or should be changed; None or empty for nothing.
Probe = Callable[[], Awaitable[str | None]]


@contextlib.asynccontextmanager
async def open_probes(settings: Settings) -> AsyncIterator[dict[str, tuple[str, Probe]]]:
    """Open a gateway for the command ``check``; yield its probes by name.

    A probe is a pair of a kind and a function that raises a GatewayError on failure. The names are
    those of the connectors, ``storage``, and ``cache`` for a shared cache.

    Raises:
        Internal: the storage cannot be opened, so that no probe can run.
    """
    async with contextlib.AsyncExitStack() as stack:
        try:
            components = await stack.enter_async_context(open_gateway(settings))
        except DatabaseError as error:
            raise Internal(str(error)) from error
        probes: dict[str, tuple[str, Probe]] = {
            "storage": ("storage", partial(_probe_storage, components.database))
        }
        if settings.cache.url.reveal().startswith(("redis", "unix")):
            probes["cache"] = ("cache", partial(_probe_cache, components.cache))
        for name, provider in components.providers.items():
            probes[name] = (provider.kind.value, provider.probe)
        yield probes
