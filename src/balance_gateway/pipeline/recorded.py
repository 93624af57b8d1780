"""Opening balances that a provider keeps to itself, answered from the gateway's own record.

Light and Asset take an opening balance and have no way to read it. For them the last write that
they acknowledged is the answer, marked ``RECORDED_BY_GATEWAY``, under whichever of the remote
account's names it was made; without one the provider adapter is asked, which derives the balance
where the account's configuration allows, or says that it cannot.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

from balance_gateway.domain.accounts import Account, Capability, Side
from balance_gateway.domain.balances import (
    BalanceFigures,
    BalanceQuery,
    OpeningBalance,
    OpeningBalanceSource,
    OpeningBalanceWrite,
)
from balance_gateway.domain.errors import GatewayError
from balance_gateway.domain.ports import BalanceProvider
from balance_gateway.domain.writes import WriteJournal


class RecordedOpeningBalances:
    """A provider whose opening balances come from the journal first; a ``BalanceProvider``.

    Args:
        provider: has no way to read them.
        journal: of all writes.
        remote_accounts: the remote account of each account, by its id.
    """

    def __init__(
        self, provider: BalanceProvider, journal: WriteJournal, remote_accounts: Mapping[str, str]
    ) -> None:
        assert Capability.READ_OPENING_BALANCE not in provider.capabilities
        self._provider = provider
        self._journal = journal
        self._remote_accounts = remote_accounts
        self.kind = provider.kind
        self.connector = provider.connector
        self.capabilities = provider.capabilities

    def balance_group(self, query: BalanceQuery) -> Hashable:
        """As the provider groups."""
        return self._provider.balance_group(query)

    async def balances(
        self, queries: Sequence[BalanceQuery]
    ) -> Sequence[BalanceFigures | GatewayError]:
        """As the provider answers."""
        return await self._provider.balances(queries)

    async def opening_balance(self, account: Account) -> OpeningBalance | None:
        """The last acknowledged write, or what the provider adapter derives."""
        record = await self._journal.last_applied(self._remote_accounts[account.id])
        if record is not None and record.applied is not None:
            return replace(record.applied, source=OpeningBalanceSource.RECORDED_BY_GATEWAY)
        return await self._provider.opening_balance(account)

    async def normal_balance(self, account: Account) -> Side:
        """As the provider answers."""
        return await self._provider.normal_balance(account)

    async def set_opening_balance(self, write: OpeningBalanceWrite) -> OpeningBalance:
        """As the provider answers; from now on it is the gateway's record that tells."""
        answered = await self._provider.set_opening_balance(write)
        return replace(answered, source=OpeningBalanceSource.RECORDED_BY_GATEWAY)

    async def probe(self) -> None:
        """As the provider answers."""
        await self._provider.probe()

    async def aclose(self) -> None:
        """Closes the provider."""
        await self._provider.aclose()
