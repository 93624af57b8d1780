"""Accounts, and the connectors through which their providers are reached."""

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
    """The systems that the gateway can speak to."""

    LIGHT = "light"
    ASSET = "asset"
    LAYER = "layer"
    LOCAL = "local"


class Side(enum.Enum):
    """A side of the books. The normal side is the one on which an account usually stands."""

    DEBIT = "debit"
    CREDIT = "credit"

    def holder_sign(self) -> int:
        """What turns an amount on this normal side into the holder's view: +1 or −1."""
        return 1 if self is Side.DEBIT else -1


class Capability(enum.Enum):
    """What a provider can do; a connector's capabilities are data, shown in GraphQL."""

    READ_BANK_BALANCE = "read_bank_balance"
    READ_LEDGER_BALANCE = "read_ledger_balance"
    READ_OPENING_BALANCE = "read_opening_balance"
    WRITE_OPENING_BALANCE = "write_opening_balance"
    CHOOSE_EFFECTIVE_AT = "choose_effective_at"
    WRITE_MEMO = "write_memo"


@dataclass(frozen=True, slots=True, eq=False)
class Account:
    """One account at one provider, as configured.

    Attributes:
        id: the gateway's id, unique over all tenants.
        tenant: the company whose account it is; no other tenant can tell that it exists.
        connector: the name of the connector through which it is reached.
        provider: the kind of that connector.
        name: what people call it.
        currency: ISO 4217. Asset and Layer name none; Light's answer is checked against it.
        time_zone: where "today" and the ends of days are decided.
        remote: the provider's own ids, such as ``{"business_id": …, "ledger_id": …}``.
        normal_balance: the configured normal side; None where the provider is asked for it.
        derive_opening_balance_as_of: a day certainly before the account's first transaction, so
            that its balance then *is* the opening balance; None where no such day is vouched for.
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
