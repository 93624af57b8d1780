"""Everything the sandbox remembers: the three providers' books, tokens, options and the clock."""

from dataclasses import dataclass, field
from datetime import datetime

from balance_gateway_sandbox.options import Options
from balance_gateway_sandbox.state.account_book import Book
from balance_gateway_sandbox.state.catalogue import Catalogue, catalogue
from balance_gateway_sandbox.state.clock import Clock
from balance_gateway_sandbox.state.company import Side, Tenant
from balance_gateway_sandbox.state.identifiers import prefixed_of, uuid_of
from balance_gateway_sandbox.state.tokens import Tokens


@dataclass(slots=True)
class LightAccount:
    """A Light bank account; its book holds the bank's statement and the linked ledger's lines."""

    book: Book
    tenant: Tenant
    ledger_account_code: int
    company_id: str
    company_entity_id: str
    created_at: datetime


@dataclass(slots=True)
class AssetLedger:
    """An Asset ledger.

    Attributes:
        subtype: "opening_balance" marks the ledger that balances all opening balances.
    """

    book: Book
    type: str
    subtype: str
    sort_code: str
    financial_account_type: str | None = None


@dataclass(slots=True)
class AssetExternalAccount:
    """An Asset external account, linked to the ledger it feeds."""

    external_account_id: str
    ledger_id: str
    name: str
    mask: str
    source: str
    status: str
    reports_balance: bool


@dataclass(slots=True)
class AssetBusiness:
    """A business at Asset.

    Attributes:
        entries_start: "All data prior to this date will be ignored"; opening balances are as of it.
    """

    business_id: str
    tenant: Tenant
    name: str
    entries_start: datetime
    ledgers: dict[str, AssetLedger] = field(default_factory=dict)
    external_accounts: dict[str, AssetExternalAccount] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StatedBalance:
    """A balance somebody stated for an instant, in cents on the normal side."""

    amount: int
    at: datetime
    created_at: datetime


@dataclass(slots=True)
class LayerAccount:
    """A Layer external account with its three ids and its place in the ledger tree."""

    book: Book
    bank_account_id: str
    custom_account_id: str | None
    ledger_account_id: str
    external_ref: str
    source: str
    mask: str
    created_at: datetime
    stated: StatedBalance | None = None


@dataclass(slots=True)
class LedgerNode:
    """A node of Layer's ledger tree; a heading has no book."""

    node_id: str
    name: str
    stable_name: str
    normality: Side
    account_type: str
    account_subtype: str
    parent_id: str | None
    book: Book | None = None


@dataclass(slots=True)
class LayerBusiness:
    """A business at Layer.

    Attributes:
        closing_at: "attempts to create ledger entries before this date will fail"; None is open.
    """

    business_id: str
    tenant: Tenant
    name: str
    closing_at: datetime | None
    accounts: dict[str, LayerAccount] = field(default_factory=dict)
    nodes: dict[str, LedgerNode] = field(default_factory=dict)


@dataclass(slots=True)
class Holdings:
    """The three providers' accounts, keyed by the provider's own ids."""

    light: dict[str, LightAccount] = field(default_factory=dict)
    asset: dict[str, AssetBusiness] = field(default_factory=dict)
    layer: dict[str, LayerBusiness] = field(default_factory=dict)


class World:
    """What all handlers share.

    Attributes:
        holdings: The accounts; replaced as a whole on reset.
        options: The switches; replaced as a whole when one changes.
    """

    def __init__(self, seed: int, clock: Clock, options: Options, holdings: Holdings) -> None:
        self.seed = seed
        self.clock = clock
        self.options = options
        self.holdings = holdings
        self.catalogue: Catalogue = catalogue(seed)
        self.tokens = Tokens(clock)
        self._made = 0

    def new_uuid(self) -> str:
        """A UUID not given out before, the same again after a reset."""
        self._made += 1
        return uuid_of(self.seed, "made", self._made)

    def new_id(self, prefix: str) -> str:
        """A prefixed id not given out before, the same again after a reset."""
        self._made += 1
        return prefixed_of(prefix, self.seed, "made", self._made)

    def restore(self, holdings: Holdings) -> None:
        """Start over with seeded holdings; tokens already issued stay valid."""
        self.holdings = holdings
        self._made = 0
