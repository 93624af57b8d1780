"""Defines the port of providers that list their accounts.

A provider that can list accounts implements it in addition to ``BalanceProvider``. The docstrings
are binding for implementations and for callers.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar, runtime_checkable

from balance_gateway.domain.remote_accounts import RemoteAccountList

T = TypeVar("T")


class RunCall(Protocol):
    """Makes one call of a listing, and repeats it where another attempt can help."""

    async def __call__(self, call: Callable[[], Awaitable[T]]) -> T:
        """Return the result of the call, or raise the error of the last attempt."""
        ...


@runtime_checkable
class AccountLister(Protocol):
    """Lists the accounts at a provider that a connector's credentials reach; caches nothing."""

    async def list_accounts(self, businesses: Sequence[str], run: RunCall) -> RemoteAccountList:
        """List all accounts.

        Args:
            businesses: The ids of the businesses to list; empty for all that the
                provider lists.
            run: Makes each call: one page is one call, so that a failing page is repeated alone.

        Returns:
            The accounts; an entry that cannot be configured is counted by its reason.

        Raises:
            BadInput: Businesses are named, and the provider has none; or an id is malformed.
            Unsupported: The address does not offer the list; the text has the next step.
            GatewayError: A call failed, or a page cannot be read.
        """
        ...
