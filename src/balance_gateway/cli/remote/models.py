"""Defines the values that the commands read, as the GraphQL schema declares them.

A response that does not fit is refused: it is of another release, or of another server. Fields that
a command did not select are unset and are not printed.
"""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

#: A decimal number as plain text; never a float.
DecimalText = Annotated[str, Meta(pattern=r"\A-?[0-9]+(\.[0-9]+)?\Z")]


class Model(Struct, frozen=True, rename="camel"):
    """An object of the schema."""


class Money(Model, frozen=True):
    """An amount."""

    minor_units: DecimalText
    amount: DecimalText
    currency: str


class Freshness(Model, frozen=True):
    """The age of a value."""

    state: str
    observed_at: str
    age_seconds: int
    stale_reason: str | None


class Balance(Model, frozen=True):
    """The balances at the end of a day."""

    as_of: str
    bank: Money | None
    ledger: Money | None
    difference: Money | None
    bank_missing: str | None
    ledger_missing: str | None
    difference_missing: str | None
    freshness: Freshness


class OpeningBalance(Model, frozen=True):
    """An opening balance."""

    amount: Money
    effective_at: str | None
    source: str
    memo: str | None
    reference_number: str | None
    freshness: Freshness


class UnsettledWrite(Model, frozen=True):
    """A write that may or may not have been applied."""

    write_id: str | None
    amount: Money | None
    at: str


class ConnectorName(Model, frozen=True):
    """The connector of an account."""

    name: str


class BankFeed(Model, frozen=True):
    """The provider's link to the bank."""

    state: str
    last_synced_at: str | None
    needs_attention: bool


class ReportedBalance(Model, frozen=True):
    """The provider's latest bank balance."""

    amount: Money
    reported_at: str | None


class Account(Model, frozen=True):
    """An account."""

    id: str
    name: str
    currency: str
    provider: str
    time_zone: str | UnsetType = UNSET
    connector: ConnectorName | UnsetType = UNSET
    normal_balance: str | UnsetType | None = UNSET
    balance: Balance | UnsetType | None = UNSET
    opening_balance: OpeningBalance | UnsetType | None = UNSET
    unsettled_write: UnsettledWrite | UnsetType | None = UNSET
    bank_feed: BankFeed | UnsetType | None = UNSET
    latest_bank: ReportedBalance | UnsetType | None = UNSET
    capabilities: list[str] | UnsetType = UNSET


class PageInfo(Model, frozen=True):
    """The position of a page."""

    has_next_page: bool
    end_cursor: str | None


MONEY = "{ minorUnits amount currency }"
FRESHNESS = "{ state observedAt ageSeconds staleReason }"
BALANCE = (
    f"{{ asOf bank {MONEY} ledger {MONEY} difference {MONEY}"
    f" bankMissing ledgerMissing differenceMissing freshness {FRESHNESS} }}"
)
OPENING_BALANCE = (
    f"{{ amount {MONEY} effectiveAt source memo referenceNumber freshness {FRESHNESS} }}"
)
UNSETTLED_WRITE = f"{{ writeId amount {MONEY} at }}"


def find_amount(money: Money | UnsetType | None) -> str | None:
    """Return the amount as text; None for none."""
    return money.amount if isinstance(money, Money) else None
