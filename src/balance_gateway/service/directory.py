"""Which accounts and connectors there are, and which of them a caller can see."""

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
        id: its configured name.
        provider: which provider it speaks to.
        capabilities: what that provider can do.
    """

    id: str
    provider: ProviderKind
    capabilities: frozenset[Capability]


@dataclass(frozen=True, slots=True)
class AccountFilter:
    """Which accounts are meant. None: any. An empty collection: none at all.

    Attributes:
        ids: the gateway's account ids.
        connectors: connector names.
        providers: kinds of provider.
        currencies: ISO 4217 codes.
        name_contains: a part of the name, upper and lower case alike.
    """

    ids: frozenset[str] | None = None
    connectors: tuple[str, ...] | None = None
    providers: tuple[ProviderKind, ...] | None = None
    currencies: tuple[str, ...] | None = None
    name_contains: str | None = None

    def takes(self, account: Account) -> bool:
        """Whether the account is one of those that are meant."""
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


_EVERY_ACCOUNT = AccountFilter()


class Directory:
    """All accounts of all tenants; every look-up is within one tenant.

    Another tenant's account is answered exactly like one that does not exist.
    """

    def __init__(self, accounts: Sequence[Account], connectors: Sequence[Connector]) -> None:
        by_tenant: dict[str, dict[str, Account]] = {}
        for account in sorted(accounts, key=lambda account: account.id):
            by_tenant.setdefault(account.tenant, {})[account.id] = account
        self._by_tenant = by_tenant
        self._connectors = {connector.id: connector for connector in connectors}

    def accounts_of(self, principal: Principal) -> Mapping[str, Account]:
        """All accounts of the caller's tenant by id, in the order of their ids."""
        return MappingProxyType(self._by_tenant.get(principal.tenant, {}))

    def account(self, principal: Principal, account_id: str) -> Account:
        """One account of the caller's tenant.

        Raises:
            AccountNotFound: there is none, or it is another tenant's.
        """
        account = self._by_tenant.get(principal.tenant, {}).get(account_id)
        if account is None:
            raise AccountNotFound(account_id)
        return account

    def any_account(self, tenant: str, account_id: str) -> Account | None:
        """An account for the gateway's own purposes; None when it is no longer configured."""
        return self._by_tenant.get(tenant, {}).get(account_id)

    def select(
        self, principal: Principal, account_filter: AccountFilter = _EVERY_ACCOUNT
    ) -> list[Account]:
        """The caller's accounts that the filter takes, in the order of their ids."""
        accounts = self._by_tenant.get(principal.tenant, {})
        if account_filter == _EVERY_ACCOUNT:
            return list(accounts.values())
        if account_filter.ids is None:
            candidates: Iterable[Account] = accounts.values()
        else:
            # Few ids are asked for among many accounts: start from them.
            known = sorted(set(account_filter.ids) & accounts.keys())
            candidates = (accounts[account_id] for account_id in known)
        return [account for account in candidates if account_filter.takes(account)]

    def connector(self, connector_id: str) -> Connector:
        """A connector by its name. KeyError is a defect: accounts name only known connectors."""
        return self._connectors[connector_id]

    def connectors_of(self, principal: Principal) -> list[Connector]:
        """The connectors through which the caller's tenant has accounts, in the order of names."""
        names = {account.connector for account in self.accounts_of(principal).values()}
        return [self._connectors[name] for name in sorted(names)]
