"""Serves opening balances from the write journal for providers that cannot return them.

Light and Asset accept an opening balance and have no endpoint to read it. For them the last
acknowledged write to the remote account is returned, marked ``RECORDED_BY_GATEWAY``, whichever of
the account's gateway ids it was made under. Without such a write the provider adapter is called: it
derives the balance where the account's configuration allows it, or reports that it cannot.
"""

from collections.abc import Mapping
from dataclasses import replace

from balance_gateway.domain.account_currency import require_currency
from balance_gateway.domain.accounts import Account, Capability
from balance_gateway.domain.balances import (
    OpeningBalance,
    OpeningBalanceSource,
    OpeningBalanceWrite,
)
from balance_gateway.domain.evidence import RecordedWrite
from balance_gateway.pipeline.calls.provider_decorator import ProviderDecorator
from balance_gateway.ports.evidence import current_evidence
from balance_gateway.ports.providers import BalanceProvider
from balance_gateway.ports.write_journal import WriteJournal


class RecordedOpeningBalances(ProviderDecorator):
    """Reads opening balances from the journal before the provider; a ``BalanceProvider``.

    Args:
        provider: A provider that cannot read opening balances.
        journal: The journal of all writes.
        remote_accounts: The remote account of each account, by account id.
    """

    def __init__(
        self, provider: BalanceProvider, journal: WriteJournal, remote_accounts: Mapping[str, str]
    ) -> None:
        assert Capability.READ_OPENING_BALANCE not in provider.capabilities
        super().__init__(provider)
        self._journal = journal
        self._remote_accounts = remote_accounts

    async def opening_balance(self, account: Account) -> OpeningBalance | None:
        """Return the last acknowledged write, or the balance that the provider adapter derives.

        Raises:
            ProviderBadResponse: the write was in another currency than the account's.
            GatewayError: the provider adapter can derive none.
        """
        # By remote account: two gateway accounts may refer to the same one, and must agree.
        record = await self._journal.last_applied(self._remote_accounts[account.id])
        if record is not None and record.applied is not None:
            if (evidence := current_evidence()) is not None:
                is_own = record.intent.tenant == account.tenant
                write_id = record.intent.id if is_own else None
                evidence.set_recorded_write(RecordedWrite(write_id, record.finished_at))
            return replace(
                require_currency(account, record.applied),
                source=OpeningBalanceSource.RECORDED_BY_GATEWAY,
                recorded_at=record.finished_at,
            )
        return await self._provider.opening_balance(account)

    async def set_opening_balance(self, write: OpeningBalanceWrite) -> OpeningBalance:
        """Set the opening balance at the provider and mark it as recorded by the gateway."""
        applied = await self._provider.set_opening_balance(write)
        return replace(applied, source=OpeningBalanceSource.RECORDED_BY_GATEWAY)
