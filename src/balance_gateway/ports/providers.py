"""The ports between use cases, pipeline and providers. Their docstrings bind everybody."""

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
    """One connector: a translator between a provider's words and the gateway's.

    A provider holds no cache of balances and repeats no write. Everything it raises, or returns
    in place of a value, is a ``GatewayError``; amounts are from the holder's side.

    Attributes:
        kind: which provider it speaks to.
        connector: the connector's configured name.
        capabilities: what the provider can do, as data.
    """

    kind: ProviderKind
    connector: str
    capabilities: frozenset[Capability]

    def balance_group(self, query: BalanceQuery) -> Hashable:
        """What tells queries that one upstream call answers together from others.

        Light: each account and day alone. Asset, Layer: a whole business at one instant.
        """
        ...

    async def balances(
        self, queries: Sequence[BalanceQuery]
    ) -> Sequence[BalanceFigures | GatewayError]:
        """The balances asked for, in order, one per query; all queries are of one group.

        Raises:
            GatewayError: the call as a whole failed, and with it every query of the group.
        """
        ...

    async def opening_balance(self, account: Account) -> OpeningBalance | None:
        """The opening balance the provider keeps. None: it says that none is set.

        Raises:
            Unsupported: the provider cannot be asked, and nothing can be derived.
            GatewayError: the call failed.
        """
        ...

    async def normal_balance(self, account: Account) -> Side:
        """The normal side of the account: configured, or else as the provider tells it.

        Raises:
            GatewayError: it is not configured and the provider could not be asked.
        """
        ...

    async def set_opening_balance(self, write: OpeningBalanceWrite) -> OpeningBalance:
        """Sets the opening balance, in place of the one that is there, and returns the answer.

        Called at most once per write: whether a failure may have been applied is told by
        ``ProviderError.maybe_applied``, never tried out. When the caller stops waiting, what was
        told of ``CallContext.send_status`` decides; ``ProviderHTTP`` tells it.

        Raises:
            BadInput: the provider cannot carry the amount or the date; nothing was sent.
            Unsupported: the provider, or this account's configuration, has no route for it.
            ProviderError: see ``maybe_applied``.
        """
        ...

    async def probe(self) -> None:
        """One cheap read that shows that address and credentials work.

        Raises:
            GatewayError: they do not.
        """
        ...

    async def aclose(self) -> None:
        """Closes connections. No call may follow."""
        ...
