"""Looks up accounts and connectors within the caller's tenant."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from balance_gateway.domain.access import Principal
from balance_gateway.domain.accounts import Account, Capability, ProviderKind
from balance_gateway.domain.errors import AccountNotFound


@dataclass(frozen=True, slots=True)
class Connector:
    """One set of credentials at one provider.

    Attributes:
        id: the configured name.
        provider: the provider kind.
        capabilities: the operations that the provider supports.
    """

    id: str
    provider: ProviderKind
    capabilities: frozenset[Capability]


@dataclass(frozen=True, slots=True)
class AccountFilter:
    """Selects accounts that match all of its criteria.

    A criterion of None matches every account; an empty collection matches none.

    Attributes:
        ids: account ids.
        connectors: connector names.
        providers: provider kinds.
        currencies: ISO 4217 codes.
        name_contains: a part of the account's name, compared without regard to case.
    """

    ids: frozenset[str] | None = None
    connectors: tuple[str, ...] | None = None
    providers: tuple[ProviderKind, ...] | None = None
    currencies: tuple[str, ...] | None = None
    name_contains: str | None = None

    def matches(self, account: Account) -> bool:
        """Return whether the account matches all criteria."""
        return (
            (self.ids is None or account.id in self.ids)
            and (self.connectors is None or account.connector in self.connectors)
            and (self.providers is None or account.provider in self.providers)
            and (self.currencies is None or account.currency in self.currencies)
            and (
                self.name_contains is None
                or self.name_contains.casefold() in account.name.casefold()
            )
        )


_ALL_ACCOUNTS = AccountFilter()


class Directory:
    """All accounts of all tenants. Every look-up is limited to one tenant.

    An account of another tenant is treated exactly like an account that does not exist.

    Args:
        accounts: all configured accounts.
        connectors: all configured connectors.
    """

    def __init__(self, accounts: Sequence[Account], connectors: Sequence[Connector]) -> None:
        by_tenant: dict[str, dict[str, Account]] = {}
        for account in sorted(accounts, key=lambda account: account.id):
            by_tenant.setdefault(account.tenant, {})[account.id] = account
        self._by_tenant = by_tenant
        self._connectors = {connector.id: connector for connector in connectors}

    def accounts_for(self, principal: Principal) -> Mapping[str, Account]:
        """Return all accounts of the caller's tenant by id, sorted by id."""
        return MappingProxyType(self._by_tenant.get(principal.tenant, {}))

    def account(self, principal: Principal, account_id: str) -> Account:
        """Return an account of the caller's tenant.

        Raises:
            AccountNotFound: the account does not exist or belongs to another tenant.
        """
        account = self._by_tenant.get(principal.tenant, {}).get(account_id)
        if account is None:
            raise AccountNotFound(account_id)
        return account

    def find_account(self, tenant: str, account_id: str) -> Account | None:
        """Return an account without a caller, or None when it is no longer configured.

        For the gateway's own work, such as recovery.
        """
        return self._by_tenant.get(tenant, {}).get(account_id)

    def select(
        self, principal: Principal, account_filter: AccountFilter = _ALL_ACCOUNTS
    ) -> list[Account]:
        """Return the caller's accounts that match the filter, sorted by id."""
        accounts = self._by_tenant.get(principal.tenant, {})
        if account_filter == _ALL_ACCOUNTS:
            return list(accounts.values())
        if account_filter.ids is None:
            candidates: Iterable[Account] = accounts.values()
        else:
            # A tenant may have many accounts, and a filter usually names few ids.
            known = sorted(set(account_filter.ids) & accounts.keys())
            candidates = (accounts[account_id] for account_id in known)
        return [account for account in candidates if account_filter.matches(account)]

    def connector(self, connector_id: str) -> Connector:
        """Return a connector by its name.

        Raises:
            KeyError: a defect, because accounts refer only to configured connectors.
        """
        return self._connectors[connector_id]

    def connectors_for(self, principal: Principal) -> list[Connector]:
        """Return the connectors of the caller's accounts, sorted by name."""
        names = {account.connector for account in self.accounts_for(principal).values()}
        return [self._connectors[name] for name in sorted(names)]
