"""Define the provider records: accounts, ledgers and businesses."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from balance_gateway_sandbox.state.account_book import AccountBook
from balance_gateway_sandbox.state.company import Side, Tenant


@dataclass(slots=True)
class LightAccount:
    """A Light bank account. Its book contains the bank statement and the linked ledger's lines."""

    book: AccountBook
    tenant: Tenant
    ledger_account_code: int
    company_id: str
    company_entity_id: str
    created_at: datetime


@dataclass(slots=True)
class AssetLedger:
    """An Asset ledger.

    Attributes:
        subtype: "opening_balance" marks the ledger that offsets all opening balances.
    """

    book: AccountBook
    type: str
    subtype: str
    sort_code: str
    financial_account_type: str | None = None


@dataclass(slots=True)
class AssetExternalAccount:
    """An Asset external account, linked to the ledger it feeds.

    Attributes:
        feed_changes: Fields of its JSON that the control API has replaced.
    """

    external_account_id: str
    ledger_id: str
    name: str
    mask: str
    source: str
    status: str
    reports_balance: bool
    feed_changes: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class AssetBusiness:
    """A business at Asset.

    Attributes:
        entries_start: "All data prior to this date will be ignored". The date of all opening
            balances.
    """

    business_id: str
    tenant: Tenant
    name: str
    entries_start: datetime
    ledgers: dict[str, AssetLedger] = field(default_factory=dict)
    external_accounts: dict[str, AssetExternalAccount] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StatedBalance:
    """A balance set for an instant, in cents on the normal side."""

    amount: int
    at: datetime
    created_at: datetime


@dataclass(slots=True)
class LayerAccount:
    """A Layer external account with its three ids and its node in the ledger tree.

    Attributes:
        feed_changes: Fields of its JSON that the control API has replaced.
    """

    book: AccountBook
    bank_account_id: str
    custom_account_id: str | None
    ledger_account_id: str
    external_ref: str
    source: str
    mask: str
    created_at: datetime
    stated: StatedBalance | None = None
    feed_changes: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class LedgerNode:
    """A node of Layer's ledger tree. A heading has no book."""

    node_id: str
    name: str
    stable_name: str
    normality: Side
    account_type: str
    account_subtype: str
    parent_id: str | None
    book: AccountBook | None = None


@dataclass(slots=True)
class LayerBusiness:
    """A business at Layer.

    Attributes:
        closing_at: "attempts to create ledger entries before this date will fail". None if no
            period is closed.
    """

    business_id: str
    tenant: Tenant
    name: str
    closing_at: datetime | None
    accounts: dict[str, LayerAccount] = field(default_factory=dict)
    nodes: dict[str, LedgerNode] = field(default_factory=dict)


@dataclass(slots=True)
class ProviderRecords:
    """The records of all three providers, keyed by the provider's own ids."""

    light: dict[str, LightAccount] = field(default_factory=dict)
    asset: dict[str, AssetBusiness] = field(default_factory=dict)
    layer: dict[str, LayerBusiness] = field(default_factory=dict)
