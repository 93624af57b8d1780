"""Build the checks of the command ``check`` from an opened gateway."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from balance_gateway.app.account_checks import OnProgress, check_accounts
from balance_gateway.app.cache_builder import CacheComponents
from balance_gateway.app.running_gateway import open_running_gateway
from balance_gateway.config.settings import Settings
from balance_gateway.domain.accounts import Account
from balance_gateway.domain.calendar_days import system_clock
from balance_gateway.domain.errors import GatewayError, Internal
from balance_gateway.pipeline.redis_configuration import find_risks
from balance_gateway.ports.bank_feeds import BankFeedReader
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


@dataclass(frozen=True, slots=True)
class Checks:
    """What the command ``check`` runs.

    Attributes:
        probes: by name, pairs of a kind and a function that raises a GatewayError on failure. The
            names are those of the connectors, ``storage``, and ``cache`` for a shared cache.
        check_accounts: see ``account_checks.check_accounts``.
    """

    probes: Mapping[str, tuple[str, Probe]]
    check_accounts: Callable[
        [Sequence[Account], OnProgress], Awaitable[Mapping[str, Sequence[GatewayError]]]
    ]


@contextlib.asynccontextmanager
async def open_checks(settings: Settings) -> AsyncIterator[Checks]:
    """Open a gateway for the command ``check``.

    Raises:
        Internal: the storage cannot be opened, so that nothing can be checked.
    """
    async with contextlib.AsyncExitStack() as stack:
        try:
            running = await stack.enter_async_context(open_running_gateway(settings))
        except DatabaseError as error:
            raise Internal(str(error)) from error
        components, connectors = running.current.components, running.current.connectors
        probes: dict[str, tuple[str, Probe]] = {
            "storage": ("storage", partial(_probe_storage, components.database))
        }
        if settings.cache.url.reveal().startswith(("redis", "unix")):
            probes["cache"] = ("cache", partial(_probe_cache, components.cache))
        for name, provider in components.providers.items():
            probes[name] = (provider.kind.value, provider.probe)

        async def check(
            accounts: Sequence[Account], on_progress: OnProgress
        ) -> Mapping[str, Sequence[GatewayError]]:
            feed_readers = {
                name: one.provider
                for name, one in connectors.items()
                if isinstance(one.provider, BankFeedReader)
            }
            return await check_accounts(
                components.providers, accounts, system_clock, on_progress, feed_readers
            )

        yield Checks(probes, check)
