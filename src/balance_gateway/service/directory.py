"""Looks up accounts and connectors within the caller's tenant."""

import sys
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from balance_gateway.domain.access import Principal
from balance_gateway.domain.accounts import Account, Capability, ProviderKind
from balance_gateway.domain.errors import AccountNotFound
from balance_gateway.service.account_index import AccountFilter, AccountIndex
from balance_gateway.service.account_order import AccountOrder

#: Limit of all selections that are kept, with their filters, in bytes.
SELECTION_BYTES_MAX = 16_000_000
#: The key, the filter, the entry of the dictionary, and the few kinds of provider.
_OVERHEAD_BYTES = 1_000


@dataclass(frozen=True, slots=True)
class Connector:
    """One set of credentials at one provider.

    Attributes:
        id: the configured name.
        provider: the provider kind.
        capabilities: the operations that the provider supports.
        tenants: the companies that it is configured for; they see it without an account, too. Empty
            when every company may use it.
    """

    id: str
    provider: ProviderKind
    capabilities: frozenset[Capability]
    tenants: frozenset[str] = frozenset()


_ALL_ACCOUNTS = AccountFilter()


class Directory:
    """All accounts of all tenants. Every look-up is limited to one tenant.

    An account of another tenant is treated exactly like an account that does not exist.

    Args:
        accounts: all configured accounts.
        connectors: all configured connectors.
    """

    def __init__(self, accounts: Sequence[Account], connectors: Sequence[Connector]) -> None:
        by_tenant: dict[str, list[Account]] = {}
        for account in accounts:
            by_tenant.setdefault(account.tenant, []).append(account)
        self._by_tenant = {tenant: AccountIndex(each) for tenant, each in by_tenant.items()}
        self._no_accounts = AccountIndex(())
        self._selections = _Selections()
        self._connectors = {connector.id: connector for connector in connectors}
        self._connectors_by_tenant: dict[str, list[str]] = {}
        for connector in connectors:
            for tenant in connector.tenants:
                self._connectors_by_tenant.setdefault(tenant, []).append(connector.id)

    def accounts_for(self, principal: Principal) -> Mapping[str, Account]:
        """Return all accounts of the caller's tenant by id, sorted by id."""
        return MappingProxyType(self._index(principal.tenant).by_id)

    def account(self, principal: Principal, account_id: str) -> Account:
        """Return an account of the caller's tenant.

        Raises:
            AccountNotFound: the account does not exist or belongs to another tenant.
        """
        account = self._index(principal.tenant).by_id.get(account_id)
        if account is None:
            raise AccountNotFound(account_id)
        return account

    def find_account(self, tenant: str, account_id: str) -> Account | None:
        """Return an account without a caller, or None when it is no longer configured.

        For the gateway's own work, such as recovery.
        """
        return self._index(tenant).by_id.get(account_id)

    def select(
        self,
        principal: Principal,
        account_filter: AccountFilter = _ALL_ACCOUNTS,
        order: AccountOrder = AccountOrder.ID,
    ) -> Sequence[Account]:
        """Return the caller's accounts that match the filter, in an order."""
        tenant = principal.tenant
        if order is AccountOrder.ID:
            return self._select(tenant, account_filter)
        found = self._selections.get(tenant, account_filter, order)
        if found is None:
            found = order.sort(self._select(tenant, account_filter))
            self._selections.store(tenant, account_filter, found, order)
        return found

    def _select(self, tenant: str, wanted: AccountFilter) -> tuple[Account, ...]:
        index = self._index(tenant)
        if wanted == _ALL_ACCOUNTS:
            return index.accounts
        if wanted.ids is not None:
            # As fast as finding it again, and callers seldom name the same ids.
            return index.select_ids(wanted)
        found = self._selections.get(tenant, wanted)
        if found is None:
            if wanted.name_contains is None:
                found = index.select(wanted)
            else:
                # Callers vary the name most: the selection by everything else is kept as well.
                among = self._select(tenant, replace(wanted, name_contains=None))
                found = index.select_named(wanted.name_contains, among)
            self._selections.store(tenant, wanted, found)
        return found

    def count_largest_tenant(self) -> int:
        """Return the number of accounts of the tenant with the most accounts; 0 without any."""
        return max((len(index.accounts) for index in self._by_tenant.values()), default=0)

    def connector(self, connector_id: str) -> Connector:
        """Return a connector by its name.

        Raises:
            KeyError: a defect, because accounts refer only to configured connectors.
        """
        return self._connectors[connector_id]

    def connectors_for(self, principal: Principal) -> list[Connector]:
        """Return the connectors of the caller's accounts or tenant, sorted by name."""
        tenant = principal.tenant
        names = {*self._index(tenant).connectors, *self._connectors_by_tenant.get(tenant, ())}
        return [self._connectors[name] for name in sorted(names)]

    def _index(self, tenant: str) -> AccountIndex:
        return self._by_tenant.get(tenant, self._no_accounts)


_Selected = tuple[str, AccountFilter, AccountOrder]


class _Selections:
    """The least recently used selections are dropped first; bounded in bytes."""

    def __init__(self) -> None:
        self._kept: OrderedDict[_Selected, tuple[Account, ...]] = OrderedDict()
        self._bytes = 0

    def get(
        self, tenant: str, wanted: AccountFilter, order: AccountOrder = AccountOrder.ID
    ) -> tuple[Account, ...] | None:
        """Return the accounts that were selected by an equal filter in this order, or None."""
        found = self._kept.get((tenant, wanted, order))
        if found is not None:
            self._kept.move_to_end((tenant, wanted, order))
        return found

    def store(
        self,
        tenant: str,
        wanted: AccountFilter,
        found: tuple[Account, ...],
        order: AccountOrder = AccountOrder.ID,
    ) -> None:
        """Keep a selection, unless it is so large that it would drop many others."""
        size = _measure_bytes(wanted, found)
        if size > SELECTION_BYTES_MAX // 10:
            return
        self._kept[tenant, wanted, order] = found
        self._bytes += size
        while self._bytes > SELECTION_BYTES_MAX:
            (_, dropped, _), accounts = self._kept.popitem(last=False)
            self._bytes -= _measure_bytes(dropped, accounts)


def _measure_bytes(wanted: AccountFilter, found: tuple[Account, ...]) -> int:
    """Return the memory of a selection; the accounts themselves exist without it."""
    named = [
        each for each in (wanted.ids, wanted.connectors, wanted.currencies) if each is not None
    ]
    texts = [wanted.name_contains or "", *(text for each in named for text in each)]
    return _OVERHEAD_BYTES + sum(map(sys.getsizeof, (found, *named, *texts)))
