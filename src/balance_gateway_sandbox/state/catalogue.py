"""List the seeded credentials and accounts for tests and demos."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from balance_gateway_sandbox.state.company import (
    AccountPlan,
    Provider,
    Side,
    Tenant,
    list_account_plans,
)
from balance_gateway_sandbox.state.identifiers import derive_prefixed_id, derive_uuid

PROVIDERS: Final[tuple[Provider, ...]] = ("light", "asset", "layer")
TENANTS: Final[tuple[Tenant, ...]] = ("acme", "globex")
LAYER_SCOPE: Final = "https://sandbox.layerfi.com/sandbox"
ASSET_SCOPES: Final = ("ledger:read", "ledger:update")
LAYER_SOURCES: Final = ("PLAID", "CUSTOM", "UNIT", "CUSTOM", "STRIPE", "API")


@dataclass(frozen=True, slots=True)
class Credential:
    """A set of (fake) credentials at one provider.

    Attributes:
        name: The name in the request log. The log never contains the secrets.
        api_key: Light: sent as `Authorization: Basic <api_key>`, not base64.
        access_token: Light: sent as `Authorization: Bearer <access_token>`.
        client_id: Asset and Layer, for their token endpoints.
        client_secret: Asset and Layer.
        scopes: The scopes that a token of this client may have.
    """

    name: str
    provider: Provider
    tenant: Tenant
    api_key: str | None = None
    access_token: str | None = None
    client_id: str | None = None
    client_secret: str | None = None
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Account:
    """One account at a provider with all ids that the provider uses for it.

    Attributes:
        credential: The name of the credential that can access it.
        currency: ISO 4217. Only Light returns it; for the others it must be configured.
        normal_side: "debit" for money the company has, "credit" for money it owes.
        time_zone: A plausible time zone for the account's days (IANA name).
        has_opening_balance: Whether the seeded account has an opening balance.
        bank_account_id: Light's id. At Layer, a third id that only its own client uses.
        business_id: Asset and Layer.
        ledger_id: Asset.
        external_account_id: Asset and Layer.
        custom_account_id: Layer, only for accounts with the source CUSTOM.
        ledger_account_id: Layer, the account's node in the ledger tree.
    """

    provider: Provider
    tenant: Tenant
    credential: str
    name: str
    currency: str
    normal_side: Side
    time_zone: str
    has_opening_balance: bool
    bank_account_id: str | None = None
    business_id: str | None = None
    ledger_id: str | None = None
    external_account_id: str | None = None
    custom_account_id: str | None = None
    ledger_account_id: str | None = None

    @property
    def remote_id(self) -> str:
        """The id that `/_control` takes: bank account, ledger or external account."""
        ids = {
            "light": self.bank_account_id,
            "asset": self.ledger_id,
            "layer": self.external_account_id,
        }
        remote_id = ids[self.provider]
        assert remote_id is not None
        return remote_id


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All seeded credentials and accounts."""

    seed: int
    credentials: tuple[Credential, ...]
    accounts: tuple[Account, ...]

    def get_credential(self, name: str) -> Credential:
        """Return the credential called `name`, such as "light-acme".

        Raises:
            KeyError: The credential does not exist.
        """
        return {credential.name: credential for credential in self.credentials}[name]

    def list_accounts(
        self, provider: Provider, tenant: Tenant | None = None
    ) -> tuple[Account, ...]:
        """Return the accounts at one provider, of one company or of both, in listing order."""
        return tuple(
            account
            for account in self.accounts
            if account.provider == provider and tenant in (None, account.tenant)
        )

    def get_account(self, provider: Provider, name: str, tenant: Tenant = "acme") -> Account:
        """Return the account called `name`.

        Raises:
            KeyError: The account does not exist.
        """
        return {account.name: account for account in self.list_accounts(provider, tenant)}[name]


@lru_cache(maxsize=16)
def build_catalogue(seed: int = 1) -> Catalogue:
    """Build the catalogue of a sandbox with this seed. It is the same on every call."""
    credentials = [_build_credential(p, t) for p in PROVIDERS for t in TENANTS]
    read_only = Credential(
        name="asset-acme-read-only",
        provider="asset",
        tenant="acme",
        client_id="asset-acme-read-only-client",
        client_secret="asset-acme-read-only-secret-not-real",  # noqa: S106 - a literal of no use
        scopes=("ledger:read",),
    )
    accounts = tuple(
        _build_account(seed, provider, tenant, number, plan)
        for provider in PROVIDERS
        for tenant in TENANTS
        for number, plan in enumerate(list_account_plans(seed, provider, tenant))
    )
    return Catalogue(seed, (*credentials, read_only), accounts)


def derive_business_id(seed: int, provider: Provider, tenant: Tenant) -> str:
    """Derive the id of a company at Asset (`biz_…`) or Layer (a UUID)."""
    if provider == "asset":
        return derive_prefixed_id("biz", seed, tenant)
    return derive_uuid(seed, "layer", "business", tenant)


def choose_layer_source(number: int) -> str:
    """Choose an account's source at Layer. Named accounts are CUSTOM and therefore writable."""
    return "CUSTOM" if number < 11 else LAYER_SOURCES[number % len(LAYER_SOURCES)]


def _build_credential(provider: Provider, tenant: Tenant) -> Credential:
    name = f"{provider}-{tenant}"
    if provider == "light":
        return Credential(
            name=name,
            provider=provider,
            tenant=tenant,
            api_key=f"{name}-api-key-not-real",
            access_token=f"{name}-access-token-not-real",
        )
    return Credential(
        name=name,
        provider=provider,
        tenant=tenant,
        client_id=f"{name}-client",
        client_secret=f"{name}-secret-not-real",
        scopes=ASSET_SCOPES if provider == "asset" else (LAYER_SCOPE,),
    )


def _build_account(
    seed: int, provider: Provider, tenant: Tenant, number: int, plan: AccountPlan
) -> Account:
    label = (seed, provider, tenant, plan.name)
    ids: dict[str, str | None]
    if provider == "light":
        ids = {"bank_account_id": derive_uuid(*label)}
    elif provider == "asset":
        ids = {
            "business_id": derive_business_id(seed, "asset", tenant),
            "ledger_id": derive_prefixed_id("ldg", *label),
            "external_account_id": derive_prefixed_id("eac", *label),
        }
    else:
        custom = choose_layer_source(number) == "CUSTOM"
        ids = {
            "business_id": derive_business_id(seed, "layer", tenant),
            "external_account_id": derive_uuid("external", *label),
            "custom_account_id": derive_uuid("custom", *label) if custom else None,
            "ledger_account_id": derive_uuid("ledger", *label),
            "bank_account_id": derive_uuid("bank", *label),
        }
    return Account(
        provider=provider,
        tenant=tenant,
        credential=f"{provider}-{tenant}",
        name=plan.name,
        currency=plan.currency,
        normal_side=plan.side,
        time_zone=plan.time_zone,
        has_opening_balance=plan.opening_minor is not None,
        **ids,
    )
