"""Defines accounts, their normal side and sign, provider kinds and capabilities."""

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from zoneinfo import ZoneInfo

#: The gateway's account ids: opaque and stable.
ACCOUNT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


class ProviderKind(enum.Enum):
    """The supported providers: their name in the configuration, and their public description."""

    LIGHT = "light", "Light."
    ASSET = "asset", "Asset."
    LAYER = "layer", "Layer."
    LOCAL = "local", "The ledger embedded in the gateway."
    STATEMENT_FILE = "statement_file", "A file of balances, for accounts at banks without an API."

    description: str

    def __new__(cls, name: str, description: str) -> "ProviderKind":
        """Create a member with the name as its value."""
        member = object.__new__(cls)
        member._value_ = name
        member.description = description
        return member


class Side(enum.Enum):
    """A side of the books.

    An account's normal side is the side on which its balance is usually found.
    """

    DEBIT = "debit"
    CREDIT = "credit"

    def holder_sign(self) -> int:
        """Return the factor that converts amounts on this side to the holder's: +1 or −1."""
        return 1 if self is Side.DEBIT else -1


class Capability(enum.Enum):
    """An operation that a provider supports; clients see capabilities in the GraphQL API."""

    READ_BANK_BALANCE = "read_bank_balance"
    READ_LEDGER_BALANCE = "read_ledger_balance"
    READ_OPENING_BALANCE = "read_opening_balance"
    WRITE_OPENING_BALANCE = "write_opening_balance"
    CHOOSE_EFFECTIVE_AT = "choose_effective_at"
    WRITE_MEMO = "write_memo"
    READ_BANK_FEED = "read_bank_feed"


@dataclass(frozen=True, slots=True, eq=False)
class Account:
    """One account at one provider, as configured.

    Attributes:
        id: the gateway's account id, unique across all tenants.
        tenant: the company that owns the account. The account is invisible to other tenants.
        connector: the name of the connector that serves the account.
        provider: the provider kind of that connector.
        name: the display name.
        currency: ISO 4217 code. Asset and Layer return no currency; Light's currency is checked
            against this one.
        time_zone: the time zone that determines "today" and the ends of days.
        remote: the provider's own ids, such as ``{"business_id": …, "ledger_id": …}``, in the
            canonical forms of the provider's spec.
        normal_balance: the configured normal side; None when it is read from the provider. Never
            guessed: see ``SideUnknown``.
        derive_opening_balance_as_of: a day that is certainly before the account's first
            transaction, so that the balance on that day *is* the opening balance; None when no
            such day is configured.
        capabilities: the operations that the provider supports for this account as configured.
    """

    id: str
    tenant: str
    connector: str
    provider: ProviderKind
    name: str
    currency: str
    time_zone: ZoneInfo
    remote: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    normal_balance: Side | None = None
    derive_opening_balance_as_of: date | None = None
    capabilities: frozenset[Capability] = frozenset()
