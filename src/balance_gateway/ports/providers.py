"""Defines the port that every balance provider implements.

The docstrings are binding for implementations and for callers.
"""

from collections.abc import Hashable, Sequence
from typing import Protocol

from balance_gateway.domain.accounts import Account, Capability, ProviderKind, Side
from balance_gateway.domain.balances import (
    BalanceFigures,
    BalanceQuery,
    OpeningBalance,
    OpeningBalanceWrite,
)
from balance_gateway.domain.errors import GatewayError


class BalanceProvider(Protocol):
    """One connector: translates between a provider's API and the gateway's types.

    A provider caches no balances and never repeats a write. Every error that it raises, or
    returns in place of a value, is a ``GatewayError``. Amounts are from the holder's side.

    Attributes:
        kind: the kind of provider behind the connector.
        connector: the connector's configured name.
        capabilities: the operations that the provider supports.
    """

    kind: ProviderKind
    connector: str
    capabilities: frozenset[Capability]

    def balance_group(self, query: BalanceQuery) -> Hashable:
        """Return the group of a query; one upstream call answers all queries of a group.

        Light: one group per account and day. Asset, Layer: one per business and instant.
        """
        ...

    async def balances(
        self, queries: Sequence[BalanceQuery]
    ) -> Sequence[BalanceFigures | GatewayError]:
        """Read the balances of one group of queries.

        Returns:
            One item per query, in order: the figures, or the error that concerns this query only.

        Raises:
            GatewayError: the call failed, and with it every query of the group.
        """
        ...

    async def opening_balance(self, account: Account) -> OpeningBalance | None:
        """Read the provider's opening balance.

        Returns:
            The opening balance, or None when the provider reports that none is set.

        Raises:
            Unsupported: the provider has no such read, and no opening balance can be derived.
            GatewayError: the call failed.
        """
        ...

    async def normal_balance(self, account: Account) -> Side:
        """Return the account's normal side: as configured, otherwise as read from the provider.

        A provider that cannot be asked is replaced by what it said earlier. No side is assumed.

        Raises:
            SideUnknown: it is not configured, and the provider does not report it.
            GatewayError: it is not configured, and reading it from the provider failed.
        """
        ...

    async def set_opening_balance(self, write: OpeningBalanceWrite) -> OpeningBalance:
        """Set or replace the opening balance and return it as the provider confirms it.

        Called at most once per write. After a failure, ``ProviderError.maybe_applied`` says
        whether the provider may have applied the write; it is never sent again to find out. When
        the caller stops waiting, ``CallContext.send_status`` says whether the write was
        sent; ``ProviderHTTP`` keeps it up to date.

        Raises:
            BadInput: the provider cannot represent the amount or the date; nothing was sent.
            Unsupported: the provider, or the account's configuration, has no route for the write.
            ProviderError: the provider failed; see ``maybe_applied``.
        """
        ...

    async def probe(self) -> None:
        """Make one cheap read to check the address and the credentials.

        Raises:
            GatewayError: the address or the credentials do not work.
        """
        ...

    async def aclose(self) -> None:
        """Close all connections. No other method may be called afterwards."""
        ...
