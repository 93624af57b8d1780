"""Opening balances that a provider keeps to itself, answered from the gateway's own record.

Light and Asset take an opening balance and have no way to read it. For them the last write that
they acknowledged is the answer, marked ``RECORDED_BY_GATEWAY``, under whichever of the remote
account's names it was made; without one the provider adapter is asked, which derives the balance
where the account's configuration allows, or says that it cannot.
"""

from collections.abc import Mapping
from dataclasses import replace

from balance_gateway.domain.accounts import Account, Capability
from balance_gateway.domain.balances import (
    OpeningBalance,
    OpeningBalanceSource,
    OpeningBalanceWrite,
)
from balance_gateway.pipeline.calls.provider_decorator import ProviderDecorator
from balance_gateway.ports.providers import (
    BalanceProvider,
)
from balance_gateway.ports.write_journal import (
    WriteJournal,
)


class RecordedOpeningBalances(ProviderDecorator):
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
        super().__init__(provider)
        self._journal = journal
        self._remote_accounts = remote_accounts

    async def opening_balance(self, account: Account) -> OpeningBalance | None:
        """The last acknowledged write, or what the provider adapter derives."""
        record = await self._journal.last_applied(self._remote_accounts[account.id])
        if record is not None and record.applied is not None:
            return replace(record.applied, source=OpeningBalanceSource.RECORDED_BY_GATEWAY)
        return await self._provider.opening_balance(account)

    async def set_opening_balance(self, write: OpeningBalanceWrite) -> OpeningBalance:
        """As the provider answers; from now on it is the gateway's record that tells."""
        answered = await self._provider.set_opening_balance(write)
        return replace(answered, source=OpeningBalanceSource.RECORDED_BY_GATEWAY)
